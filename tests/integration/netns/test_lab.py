"""A lab on this host's kernel: its errors, its namespaces, and the event loops on which it works."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from netns import CapabilityError, Lab, LabError, RelayDiedError, Shape, SpecError, probe
from tests.integration.netns.traffic import arrived, pair, two

pytestmark = pytest.mark.ecco_netns


async def test_a_dead_relay_is_an_error_that_says_so():
    async with Lab(two(egress=Shape(delay_s=0.001))) as lab:
        if lab.engine != "relay":
            pytest.skip("the kernel engine has no relay")
        os.kill(lab.relay_pid, signal.SIGKILL)
        with pytest.raises(RelayDiedError, match="killed by SIGKILL"):
            await lab.counters()


async def test_misuse_is_told_apart():
    lab = Lab(two())
    with pytest.raises(LabError, match="async with"):
        await lab.counters()
    async with lab:
        with pytest.raises(SpecError, match=r"no node 'cam9'.*cam, server"):
            lab.link("cam9")
        with pytest.raises(SpecError, match="rate_bps"):
            await lab.link("cam").set(rate_bps=-1)
        with pytest.raises(CapabilityError, match="live_impairments"):
            await lab.link("cam").set(loss=0.1)
        assert lab.relay_pid is None


async def test_nodes_see_only_their_own_devices():
    async with Lab(two()) as lab:
        process = await asyncio.create_subprocess_exec(
            "nsenter",
            f"--net={lab.namespace_path('cam')}",
            "cat",
            "/proc/self/net/dev",
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    names = {line.split(":")[0].strip() for line in output.decode().splitlines()[2:]}
    assert "eth0" in names
    assert not any(name.startswith(("p0", "p1", "br0")) for name in names)


async def test_probe_is_quick_and_consistent_with_a_lab():
    start = time.perf_counter()
    capabilities = await probe()
    assert time.perf_counter() - start < 1.0
    assert capabilities.privileged
    assert capabilities.htb
    missing = {"veth", "bridge", "htb", "netem", "tun", "sched_fifo"} - set(capabilities.reasons)
    assert all(getattr(capabilities, name) for name in missing)


def test_it_runs_on_uvloop():
    uvloop = pytest.importorskip("uvloop")

    async def main() -> int:
        async with Lab(two(egress=Shape(delay_s=0.001))) as lab:
            sender, receiver = await pair(lab)
            with sender, receiver:
                sender.send(b"x", receiver)
                return len(await arrived(receiver, 1))

    assert uvloop.run(main()) == 1
