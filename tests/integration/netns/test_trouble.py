"""Labs that are built and broken off over and over, at every step, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import threading
from pathlib import Path

import pytest
from canary import Canary, until

from netns import Down, Lab, LabSpec, LinkSpec, LinkVanishedError, Shape, build, requests
from netns.capabilities import host_capabilities
from netns.namespaces import Namespace
from netns.netlink import RouteSocket

pytestmark = pytest.mark.netns

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
    """Ours, thrown in where nobody expects it."""


def left() -> tuple[int, set[int], set[str]]:
    gc.collect()
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    threads = {thread.name for thread in threading.enumerate()}
    return len(os.listdir("/proc/self/fd")), set(map(int, children)), threads


async def broken_off(rng: random.Random, monkeypatch: pytest.MonkeyPatch, canary: Canary) -> None:
    """One lab, that ends well, by an exception in a step or inside, or by a cancellation at any time."""
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
    monkeypatch.setattr("netns.lab.host_capabilities", lambda: found)
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
        with pytest.raises(LinkVanishedError, match="removed"):
            await lab.counters()
        with pytest.raises(LinkVanishedError, match="removed"):
            await lab.link("cam").set(direction="egress", rate_bps=2e6)
        with pytest.raises(LinkVanishedError, match="removed"):
            await lab.link("cam").down()
