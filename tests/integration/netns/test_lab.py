"""The lab on this host's kernel keeps its promises about rates, delays, losses, cuts and counters."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import statistics
import time

import pytest

from netns import CapabilityError, Lab, LabError, LabSpec, LinkSpec, RelayDiedError, Shape, SpecError, probe
from tests.integration.netns.traffic import arrived, drain, flooded_rate_bps, pair, round_trips_s, two

pytestmark = pytest.mark.ecco_netns


@pytest.mark.parametrize("rate_bps", [200e3, 2e6, 10e6])
async def test_the_rate_is_right_in_both_places(rate_bps):
    async with Lab(two(egress=Shape(rate_bps=rate_bps, queue_s=0.2))) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            measured = await flooded_rate_bps(
                sender, receiver, 3 * rate_bps, 3.0
            )  # enough though the sender be held up
        counters = await lab.counters()
    assert measured == pytest.approx(rate_bps, rel=0.02)
    assert counters["cam"].egress.drops > 0


async def test_a_shared_bottleneck_is_the_servers_ingress():
    spec = LabSpec(links=(LinkSpec("cam"), LinkSpec("server", ingress=Shape(rate_bps=4e6, queue_s=0.1))))
    async with Lab(spec) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            measured = await flooded_rate_bps(sender, receiver, 12e6, 2.0)
        counters = await lab.counters()
    assert measured == pytest.approx(4e6, rel=0.02)
    assert counters["server"].ingress.drops > 0
    assert counters["cam"].egress.drops == 0


async def test_changes_take_effect_at_once():
    async with Lab(two(egress=Shape(rate_bps=2e6, queue_s=0.1, delay_s=0.001))) as lab:
        link = lab.link("cam")
        sender, receiver = await pair(lab)
        with sender, receiver:
            await link.set(direction="egress", rate_bps=5e6)
            assert await flooded_rate_bps(sender, receiver, 8e6, 1.5) == pytest.approx(5e6, rel=0.03)
            await link.set(direction="both", rate_bps=None, delay_s=0.03)
            assert link.shape("egress") == Shape(queue_s=0.1, delay_s=0.03)
            await asyncio.sleep(0.3)
            drain(receiver)
            assert statistics.median(await round_trips_s(sender, receiver)) == pytest.approx(0.06, abs=0.003)
            await link.set(direction="egress", loss=1.0)
            sender.sendto(b"lost", receiver.getsockname())
            assert await arrived(receiver, 1, timeout_s=0.1) == []


async def test_counters_are_exact_for_packets_that_arrive():
    async with Lab(two(egress=Shape(rate_bps=1e7, delay_s=0.001))) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            for _ in range(10):
                sender.sendto(bytes(958), receiver.getsockname())
            assert len(await arrived(receiver, 10)) == 10
            counters = await lab.counters()
    assert (counters["cam"].egress.packets, counters["cam"].egress.bytes) == (10, 10_000)
    assert (counters["server"].ingress.packets, counters["server"].ingress.bytes) == (10, 10_000)
    assert counters["cam"].egress.drops == 0
    assert counters["cam"].egress.backlog_bytes == 0
    assert counters["cam"].ingress.packets == 0


async def test_a_dead_relay_is_an_error_that_says_so():
    async with Lab(two(egress=Shape(delay_s=0.001))) as lab:
        if lab.engine != "relay":
            pytest.skip("the kernel engine has no relay")
        os.kill(lab.relay_pid, signal.SIGKILL)
        with pytest.raises(RelayDiedError, match="killed by SIGKILL"):
            await lab.counters()


async def test_a_rate_that_changes_all_the_time_is_right_on_average():
    """With a tbf, whose bucket is filled by every change, this rate would be 4 to 8 % too high."""
    rates = (1e6, 2e6)
    async with Lab(two(Shape(rate_bps=rates[0], queue_s=0.3))) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            start = time.monotonic()
            sent, changes, found = 0, [], []
            while (now := time.monotonic()) - start < 4.0:
                if now >= start + 0.1 * len(changes):
                    await lab.link("cam").set(direction="egress", rate_bps=rates[len(changes) % 2])
                    changes.append(time.time())
                while sent * 1042 * 8 / 3e6 < now - start:
                    sender.sendto(bytes(1000), receiver.getsockname())
                    sent += 1
                found += drain(receiver)
                await asyncio.sleep(0.002)
    begin, end = changes[4], changes[-2]
    allowed = sum(
        rates[index % 2] * (after - before)
        for index, (before, after) in enumerate(itertools.pairwise(changes))
        if begin <= before and after <= end
    )
    carried = 1042 * 8 * sum(1 for at, _ in found if begin <= at < end)
    assert carried == pytest.approx(allowed, rel=0.02)


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
                sender.sendto(b"x", receiver.getsockname())
                return len(await arrived(receiver, 1))

    assert uvloop.run(main()) == 1
