"""A lab leaves no process, descriptor, thread or namespace behind, no matter how it ends."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from netns import Lab, LabSpec, LinkSpec, Shape, requests
from tests.integration.netns.canary import Canary, until

pytestmark = pytest.mark.ecco_netns

SPEC = LabSpec(
    links=(
        LinkSpec("cam", egress=Shape(rate_bps=1e6, delay_s=0.005)),
        LinkSpec("server", ingress=Shape(rate_bps=6e6)),
    )
)

CHILD = """
import asyncio, sys
from netns import Lab, LabSpec, LinkSpec, Shape

async def main():
    spec = LabSpec(links=(LinkSpec("cam", egress=Shape(delay_s=0.005)), LinkSpec("server")))
    async with Lab(spec) as lab:
        print(lab.relay_pid or 0, lab.namespace_path("cam"), lab.namespace_path("server"), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def descriptors() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except OSError:
            continue
    return found


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.fixture
def canary():
    made = Canary()
    yield made
    made.close()


@pytest.fixture
def nothing_left():
    gc.collect()
    before = descriptors(), children(), set(threading.enumerate())
    yield
    gc.collect()
    assert descriptors() - before[0] == set()
    assert children() <= before[1]
    assert set(threading.enumerate()) <= before[2]


@pytest.mark.parametrize("which", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_nothing(which, canary):
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    with child:
        relay_pid, *paths = child.stdout.readline().split()
        for path in paths:
            canary.watch(path)
        assert len(canary.alive()) == 2
        child.send_signal(which)
        child.wait()
        assert until(lambda: not canary.alive()), "namespaces are still there"
    if relay_pid != "0":
        assert until(lambda: not Path(f"/proc/{relay_pid}").exists()), "the relay still runs"


async def run_one(canary: Canary | None = None) -> int | None:
    async with Lab(SPEC) as lab:
        if canary is not None:
            for name in ("cam", "server"):
                canary.watch(lab.namespace_path(name))
        return lab.relay_pid


def test_a_normal_end(canary, nothing_left):
    pid = asyncio.run(run_one(canary))
    assert pid is None or not Path(f"/proc/{pid}").exists()
    assert until(lambda: not canary.alive())


def test_an_exception_inside(canary, nothing_left):
    async def main() -> None:
        async with Lab(SPEC) as lab:
            canary.watch(lab.namespace_path("cam"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())
    assert until(lambda: not canary.alive())


@pytest.mark.parametrize("step", ["add_bridge", "add_address", "add_qdiscs", "add_neighbours"])
def test_a_build_that_fails_undoes_what_it_did(step, monkeypatch, nothing_left):
    def fail(*arguments: object) -> None:
        raise RuntimeError(step)

    monkeypatch.setattr(requests, step, fail)
    # the probe uses the same functions, and is not what is tested here
    monkeypatch.setattr("netns.capabilities.host_capabilities", lambda: None)
    with pytest.raises(RuntimeError, match=step):
        asyncio.run(Lab(LabSpec(links=SPEC.links, engine="relay")).__aenter__())


@pytest.mark.parametrize("after_s", [0.0, 0.005, 0.02, 0.05])
def test_a_cancelled_build_undoes_what_it_did(after_s, nothing_left):
    async def use() -> None:
        async with Lab(SPEC):
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(use())
        await asyncio.sleep(after_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_twenty_cycles_leak_no_descriptor(nothing_left):
    async def main() -> None:
        for _ in range(20):
            await run_one()

    asyncio.run(main())


def test_two_labs_at_once_do_not_see_each_other(nothing_left):
    async def main() -> None:
        async with Lab(SPEC) as first, Lab(SPEC) as second:
            assert first.address("cam") == second.address("cam")
            assert first.namespace_path("cam") != second.namespace_path("cam")

    asyncio.run(main())
