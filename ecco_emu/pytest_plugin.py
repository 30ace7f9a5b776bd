"""A pytest plug-in: the ``emulate`` and ``lab`` fixtures, markers for tiers of tests, and checks for leaks.

    async def test_flap(emulate):
        emu = await emulate("scenarios/faults/uplink-flap.yaml")
        await emu.until(lambda s: s.camera("cam1").segments_delivered > 0, timeout=10)

A tier is a group of tests that need something of the host, such as root or a GPU; a marker names it. Tests
that use these fixtures need root: mark them ``netns``. Where the host cannot run a tier, its tests are
skipped; with ``--ecco-require netns`` they fail instead.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    import netns
    from ecco_emu.emulation.emulation import Emulation

MARKERS = {
    "netns": "needs root and network namespaces",
    "netem": "needs a kernel with sch_netem",
    "vm": "boots a virtual machine whose kernel has sch_netem",
    "gpu": "needs a CUDA device",
    "soak": "runs for long",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("ecco-emu").addoption(
        "--ecco-require",
        action="append",
        default=[],
        metavar="NAME",
        choices=sorted(MARKERS),
        help="a tier that must run: its tests fail rather than skip when this host cannot "
        f"({', '.join(MARKERS)}; repeatable)",
    )


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    required = set(config.getoption("--ecco-require"))
    wanted = {name for item in items for name in MARKERS if item.get_closest_marker(name)}
    missing = {name: reason for name in wanted if (reason := lacking(name)) is not None}
    for item in items:
        for name, reason in missing.items():
            if item.get_closest_marker(name) is None:
                continue
            if name in required:
                item.add_marker(pytest.mark.usefixtures("ecco_tier_is_required"))
                item.user_properties.append(("ecco_missing", f"{name}: {reason}"))
            else:
                item.add_marker(pytest.mark.skip(reason=f"{name}: {reason}"))


def lacking(tier: str) -> str | None:
    """Why this host cannot run a tier, or None if it can."""
    if tier == "soak":
        return None if os.environ.get("ECCO_EMU_SOAK") else "set ECCO_EMU_SOAK=1 to run it"
    if tier == "gpu":
        return None if Path("/dev/nvidia0").exists() else "no NVIDIA device"
    import netns

    if tier == "vm":
        return lacking_for_vm()
    capabilities = netns.host_capabilities()
    if tier == "netem" and capabilities.tried and not capabilities.netem:
        return "this kernel has no sch_netem"
    return capabilities.obstacle


def lacking_for_vm() -> str | None:
    """Why no virtual machine with a distribution's kernel can be booted here."""
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    tools = ("qemu-system-x86_64", "busybox", "vng")
    missing = [tool for tool in tools if shutil.which(tool, path=search) is None]
    if not any("cloud" not in path.name for path in Path("/boot").glob("vmlinuz-*-amd64")):
        missing.append("linux-image-amd64")
    return f"not installed: {', '.join(missing)}" if missing else None


@pytest.fixture
def ecco_tier_is_required(request: pytest.FixtureRequest) -> None:
    """Fails a test whose tier was required but cannot run on this host."""
    reasons = [text for key, text in request.node.user_properties if key == "ecco_missing"]
    pytest.fail(f"required by --ecco-require, but {'; '.join(map(str, reasons))}", pytrace=False)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> set[int]:
    """Process ids of this process's children that still run. Python's own resource tracker does not count."""
    import psutil

    return {
        child.pid
        for child in psutil.Process().children()
        if child.is_running() and "resource_tracker" not in " ".join(child.cmdline())
    }


@pytest_asyncio.fixture
async def emulate(
    tmp_path: Path,
) -> AsyncIterator[Callable[..., Awaitable[Emulation]]]:
    """An async factory: ``emu = await emulate(scenario, **options)`` starts a run of a scenario file.

    Options are those of ``Emulation.from_file``; the run directory is made under the test's tmp_path.
    Every run is stopped when the test ends, and must leave no child process and no task behind.
    """
    from ecco_emu.emulation.emulation import Emulation

    tasks_before, children_before = len(asyncio.all_tasks()), children()
    async with AsyncExitStack() as stack:

        async def start(scenario: str | Path, **options: Any) -> Emulation:
            emulation = Emulation.from_file(scenario, **{"out": tmp_path / "runs", **options})
            return await stack.enter_async_context(emulation)

        yield start
    assert len(asyncio.all_tasks()) <= tasks_before, "the run left tasks behind"
    assert children() <= children_before, "the run left processes behind"


@pytest_asyncio.fixture
async def lab() -> AsyncIterator[Callable[[netns.LabSpec], Awaitable[netns.Lab]]]:
    """An async factory of bare link labs: ``lab_ = await lab(netns.LabSpec(...))``.

    Each is taken down when the test ends, and must give back every file descriptor.
    """
    import netns

    gc.collect()  # sockets of earlier tests that wait for the collector would hide a leak of this one
    before = open_descriptors()
    async with AsyncExitStack() as stack:

        async def start(spec: netns.LabSpec) -> netns.Lab:
            return await stack.enter_async_context(netns.Lab(spec))

        yield start
    gc.collect()
    assert open_descriptors() <= before, "the lab left file descriptors open"
