"""Labs that are broken off at every step, 500 times, leave nothing behind. Other trouble is an error that
says so."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from netns import (
    CapabilityError,
    Down,
    Lab,
    LabSpec,
    LinkSpec,
    LinkVanishedError,
    RelayDiedError,
    Shape,
    build,
    requests,
)
from netns.capabilities import host_capabilities
from netns.namespaces import Namespace
from netns.netlink import RouteSocket
from tests.integration.netns.canary import Canary, until

pytestmark = pytest.mark.ecco_netns

SPEC = LabSpec(
    links=(
        LinkSpec("cam", egress=Shape(rate_bps=1e6, delay_s=0.005)),
        LinkSpec("server", ingress=Shape(rate_bps=6e6)),
    )
)
STEPS = (
    *((requests, name) for name in ("add_bridge", "set_up", "enslave", "add_forwarding", "configure_device")),
    *((requests, name) for name in ("add_address", "add_neighbours", "add_qdiscs")),
    *((build.RelayClient, name) for name in ("__init__", "wait_ready", "attach", "set", "counters")),
    *((Namespace, name) for name in ("__init__", "tap", "udp_socket")),
    *((RouteSocket, name) for name in ("__init__", "execute", "device_stats", "qdisc_stats")),
)


class BrokenOffError(Exception):
    """An exception of the test, raised inside a step."""


def left() -> tuple[int, set[int], set[str]]:
    gc.collect()
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    threads = {thread.name for thread in threading.enumerate()}
    return len(os.listdir("/proc/self/fd")), set(map(int, children)), threads


async def broken_off(rng: random.Random, monkeypatch: pytest.MonkeyPatch, canary: Canary) -> None:
    """Builds a lab that ends well, by an exception in a step or in its block, or by a cancellation at any
    time."""
    how = rng.choice(("well", "step", "inside", "cancelled"))

    async def use() -> None:
        async with Lab(SPEC) as lab:
            canary.watch(lab.namespace_path("cam"))
            sock = await lab.udp_socket("cam")
            with sock:
                lab.schedule(Down("cam"), in_s=rng.uniform(0, 0.02), for_s=0.01)
                await lab.counters()
                if how == "inside":
                    raise BrokenOffError
                await asyncio.sleep(60 if how == "cancelled" else 0)

    with monkeypatch.context() as patch:
        if how == "step":
            place, name = rng.choice(STEPS)
            after, original = rng.randrange(3), getattr(place, name)
            calls = iter(range(1000))

            def fail(*arguments: object, **options: object) -> object:
                if next(calls) >= after:
                    raise BrokenOffError(name)
                return original(*arguments, **options)

            patch.setattr(place, name, fail)
        task = asyncio.create_task(use())
        if how == "cancelled":
            await asyncio.sleep(rng.uniform(0, 0.1))
            task.cancel()
        try:
            await task
        except (BrokenOffError, asyncio.CancelledError):
            return


async def test_500_labs_broken_off_leave_nothing(monkeypatch):
    # the probe uses the same functions, and is not what is tested here
    found = host_capabilities()
    monkeypatch.setattr("netns.capabilities.host_capabilities", lambda: found)
    rng = random.Random(500)
    canary = Canary()
    try:
        await broken_off(rng, monkeypatch, canary)
        before = left()
        for _ in range(500):
            await broken_off(rng, monkeypatch, canary)
            assert len(asyncio.all_tasks()) == 1
        assert left() == before
        assert until(lambda: not canary.alive()), "namespaces are still there"
    finally:
        canary.close()


async def test_a_device_that_was_removed_is_an_error_that_says_so():
    async with Lab(LabSpec(links=(LinkSpec("cam", egress=Shape(rate_bps=1e6)), LinkSpec("server")))) as lab:
        process = await asyncio.create_subprocess_exec(
            "nsenter", f"--net={lab.namespace_path('cam')}", "ip", "link", "delete", "eth0"
        )
        assert await process.wait() == 0
        for ask in (lab.check, lab.counters):
            with pytest.raises(LinkVanishedError, match="removed"):
                await ask()
        with pytest.raises(LinkVanishedError, match="removed"):
            await lab.link("cam").set(direction="egress", rate_bps=2e6)
        with pytest.raises(LinkVanishedError, match="removed"):
            await lab.link("cam").down()


async def test_a_dead_relay_is_told_by_whatever_needs_it():
    async with Lab(LabSpec(links=SPEC.links, engine="relay")) as lab:
        assert lab.relay_pid is not None
        os.kill(lab.relay_pid, signal.SIGKILL)
        with pytest.raises(RelayDiedError, match="killed by SIGKILL"):
            await lab.link("cam").set(direction="egress", delay_s=0.01)
        with pytest.raises(RelayDiedError, match="build the lab anew"):
            await lab.link("cam").down()
        with pytest.raises(RelayDiedError, match="killed by SIGKILL"):
            await lab.check()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
async def test_the_relay_leaves_ctrl_c_and_the_terminals_end_to_its_parent(number: signal.Signals):
    async with Lab(LabSpec(links=SPEC.links, engine="relay")) as lab:
        assert lab.relay_pid is not None
        os.kill(lab.relay_pid, number)
        for _ in range(3):  # a signal is delivered before the answer to a request that comes after it
            await lab.check()


def devices_here() -> list[str]:
    return [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]


@pytest.fixture
def bridge_on_the_host():
    """A bridge on the host with the name of the lab's bridge, unless the host has one already."""
    if "br0" in devices_here():
        yield
        return
    subprocess.run(["ip", "link", "add", "br0", "type", "bridge"], check=True)
    yield
    subprocess.run(["ip", "link", "delete", "br0"], check=True)


@pytest.mark.usefixtures("bridge_on_the_host")
async def test_a_bridge_of_the_same_name_on_the_host_is_left_alone():
    """The lab's bridge is in a namespace of its own, so it takes no name on the host."""
    before = devices_here()
    async with Lab(SPEC) as lab:
        await lab.counters()
        assert devices_here() == before
    assert devices_here() == before


async def test_names_longer_than_a_device_name_are_built():
    name = "a-node-whose-name-is-very-long.1"
    async with Lab(LabSpec(links=(LinkSpec(name, egress=Shape(rate_bps=1e6)), LinkSpec("server")))) as lab:
        assert set(await lab.counters()) == {name, "server"}


async def test_an_engine_that_this_kernel_has_not_is_refused_before_anything_is_built():
    if host_capabilities().netem:
        pytest.skip("this kernel has netem")
    before = left()
    with pytest.raises(CapabilityError, match=r"netem.*engine='auto' falls back on the relay"):
        await Lab(LabSpec(links=SPEC.links, engine="kernel")).__aenter__()
    assert left() == before


UNPRIVILEGED = """
import asyncio, concurrent.futures.thread, os
from netns import Lab, LabSpec, LinkSpec, PrivilegeError, probe
# from here on it may not even read where it is installed
os.setgroups([]); os.setgid(65534); os.setuid(65534)
async def main():
    assert not (await probe()).privileged
    try:
        await Lab(LabSpec(links=(LinkSpec("cam"),))).__aenter__()
    except PrivilegeError as error:
        print(error)
asyncio.run(main())
"""


def test_without_privileges_it_says_so_and_the_way_out():
    ran = subprocess.run([sys.executable, "-c", UNPRIVILEGED], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "run it as root" in ran.stdout
    assert "--cap-add" in ran.stdout


async def test_scheduled_changes_keep_their_time_while_counters_are_read():
    links = tuple(LinkSpec(f"cam{number}", egress=Shape(rate_bps=1e6)) for number in range(60))
    async with Lab(LabSpec(links=links)) as lab:
        order = []
        handle = lab.schedule(Down("cam0"), in_s=0.001)
        reading = asyncio.create_task(lab.counters())
        reading.add_done_callback(lambda _: order.append("counters"))
        began = asyncio.create_task(handle.began())
        began.add_done_callback(lambda _: order.append("fault"))
        found, _ = await asyncio.gather(reading, began)
        assert len(found) == 60
        await asyncio.sleep(0)
    assert order == ["fault", "counters"]
