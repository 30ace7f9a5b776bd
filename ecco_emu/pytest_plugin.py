"""A pytest plug-in: the ``emulate`` and ``lab`` fixtures, markers for tiers of tests, and checks for leaks.

    async def test_flap(emulate):
        emu = await emulate("scenarios/faults/uplink-flap.yaml")
        await emu.until(lambda s: s.camera("cam1").segments_delivered > 0, timeout=10)

A tier is a group of tests that need something of the host, such as root or a GPU; the marker ``ecco_TIER``
names it. Where the host cannot run a tier, its tests are skipped; with ``--ecco-require TIER`` they fail
instead. Tests that use these fixtures are of the tier ``netns`` without being marked, with one exception:
where the host has no namespaces, and nobody requires them, ``emulate`` simulates links and clock.
``--ecco-engine`` says which engine ``emulate`` takes.

A test that uses the fixtures runs on an event loop of its own whatever the mode of pytest-asyncio. If it
fails, the report says how the run stood.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import os
import shutil
import sys
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    import netns
    from ecco_emu.emulation.emulation import Emulation
    from ecco_emu.host.warm import WarmWorkers
    from ecco_emu.report.standing import RecentEvents

TIERS = {
    "netns": "needs root and network namespaces",
    "netem": "needs a kernel with sch_netem",
    "vm": "boots a virtual machine whose kernel has sch_netem",
    "gpu": "needs a CUDA device",
    "soak": "runs for long",
}
SIMULATED = "ecco_simulated"
"""The marker of tests that need nothing of the host."""
RECENT_EVENTS = 20
"""Lines of events that are shown of a run whose test failed."""
COUNTERS_WALL_S = 5.0
"""The longest that a failed test's report waits for the link counters."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("ecco-emu").addoption(
        "--ecco-require",
        action="append",
        default=[],
        metavar="TIER",
        choices=sorted(TIERS),
        help="a tier that must run: its tests fail rather than skip when this host cannot "
        f"({', '.join(TIERS)}; repeatable)",
    )
    parser.getgroup("ecco-emu").addoption(
        "--ecco-engine",
        default="auto",
        choices=["auto", "real", "simulated"],
        help="how `emulate` makes links and clock: real ones need root and namespaces, simulated ones "
        "nothing; auto takes real ones where the host has them",
    )


def pytest_configure(config: pytest.Config) -> None:
    for tier, meaning in TIERS.items():
        config.addinivalue_line("markers", f"{marker_of(tier)}: {meaning}")
    config.addinivalue_line("markers", f"{SIMULATED}: `emulate` simulates links and clock, whatever the host")


# -- tiers --


def marker_of(tier: str) -> str:
    """The tier's marker, whose name is ours alone: other projects have a ``gpu`` or ``soak`` of their own."""
    return f"ecco_{tier}"


_UNMET = pytest.StashKey[str]()
"""Why a test of a required tier cannot run."""


def pytest_itemcollected(item: pytest.Item) -> None:
    if uses_fixture(item, "lab") or (uses_fixture(item, "emulate") and not simulates(item)):
        item.add_marker(marker_of("netns"))


def simulates(item: pytest.Item) -> bool:
    """Whether ``emulate`` simulates links and clock for a test that names no engine."""
    if item.get_closest_marker(SIMULATED) is not None:
        return True
    return item.get_closest_marker(marker_of("netns")) is None and simulating(item.config)


def simulating(config: pytest.Config) -> bool:
    """Whether ``emulate`` simulates links and clock for tests without a marker that says otherwise."""
    wanted = config.getoption("--ecco-engine")
    if wanted != "auto":
        return bool(wanted == "simulated")
    return "netns" not in config.getoption("--ecco-require") and lacking("netns") is not None


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    users = sum(uses_fixture(item, "emulate") and simulates(item) for item in items)
    if not users or not simulating(config):
        return []
    why = "as asked for" if config.getoption("--ecco-engine") != "auto" else str(lacking("netns"))
    tests = "1 test" if users == 1 else f"{users} tests"
    return [f"ecco-emu: {tests} on simulated links and clock ({why})"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    required = set(config.getoption("--ecco-require"))
    for item in items:
        for tier in TIERS:
            if item.get_closest_marker(marker_of(tier)) is None or (reason := lacking(tier)) is None:
                continue
            if tier in required:
                item.stash[_UNMET] = f"{tier}: {reason}"
            else:
                item.add_marker(pytest.mark.skip(reason=f"{tier}: {reason}"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if _UNMET in item.stash:
        pytest.fail(f"required by --ecco-require, but {item.stash[_UNMET]}", pytrace=False)


@functools.cache
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


# -- tests on an event loop --


def uses_our_fixtures(item: pytest.Item) -> bool:
    """Whether a test uses ``emulate`` or ``lab``, through a fixture of its own too."""
    return any(uses_fixture(item, name) for name in ("emulate", "lab"))


def uses_fixture(item: pytest.Item, name: str) -> bool:
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    return _is_ours(name, known.get(name, ()))


def _is_ours(name: str, definitions: Sequence[pytest.FixtureDef[Any]]) -> bool:
    """Whether the last of a fixture's definitions is this module's, or uses this module's.

    A project may have a ``lab`` of its own, which has nothing to do with ours.
    """
    for definition in reversed(definitions):
        if definition.func.__module__ == __name__:
            return True
        if name not in definition.argnames:
            return False
    return False


@pytest.hookimpl(wrapper=True, trylast=True)  # innermost: pytest-asyncio looks for its marker after us
def pytest_pycollect_makeitem() -> Generator[None, Any, Any]:
    made = yield
    for item in made if isinstance(made, list) else [made]:
        if isinstance(item, pytest.Function) and uses_our_fixtures(item):
            mark_for_a_loop(item)
    return made


def mark_for_a_loop(item: pytest.Function) -> None:
    """Has pytest-asyncio run the test, in strict mode too, on the loop that the fixtures are on."""
    # a coroutine function that Hypothesis has wrapped is one inside
    function = getattr(getattr(item.obj, "hypothesis", None), "inner_test", item.obj)
    if not inspect.iscoroutinefunction(function) or any(map(item.get_closest_marker, ("anyio", "trio"))):
        return
    given = item.get_closest_marker("asyncio")
    arguments = {} if given is None else given.kwargs
    if not arguments.keys() & {"loop_scope", "scope"}:
        # in front of the given one, because the default scope can be another one
        item.add_marker(pytest.mark.asyncio(**arguments, loop_scope="function"), append=False)


def check_loop(fixtures: asyncio.AbstractEventLoop) -> None:
    """Fails a test whose ``asyncio`` marker asks for a loop that other tests share."""
    if asyncio.get_running_loop() is not fixtures:
        pytest.fail(
            "emulate and lab start and end on a loop of the test's own: leave loop_scope out of this test's "
            "asyncio marker",
            pytrace=False,
        )


# -- what a failed test is told --


@dataclass(frozen=True, slots=True)
class _Watched:
    """A run or a lab of a test. ``tell`` is asked on its loop, which stands still while pytest reports."""

    title: str
    loop: asyncio.AbstractEventLoop
    tell: Callable[[], Coroutine[Any, Any, str]]

    def section(self) -> tuple[str, str]:
        telling = self.tell()
        try:
            return self.title, self.loop.run_until_complete(telling)
        except Exception as error:  # the failure that is being reported matters more
            telling.close()
            return self.title, f"nothing more is known: {error}"


_WATCHED = pytest.StashKey[list[_Watched]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    watched = item.stash.get(_WATCHED, [])
    if report.when == "teardown":
        watched.clear()  # pytest keeps the item, and would keep the runs
    elif report.failed:
        report.sections += [each.section() for each in watched]
    return report


def watch(node: pytest.Item, title: str, tell: Callable[[], Coroutine[Any, Any, str]]) -> None:
    """Has ``tell`` asked if the test fails."""
    node.stash.setdefault(_WATCHED, []).append(_Watched(title, asyncio.get_running_loop(), tell))


async def tell_run(emulation: Emulation, recent: RecentEvents) -> str:
    """The run directory, the cameras' states, the links' counters and the newest events, as far as there are
    any."""
    import netns
    from ecco_emu.core.errors import EccoError
    from ecco_emu.report.standing import standing

    parts = []
    try:
        parts.append(f"run directory {emulation.directory}")
        parts.append(f"at {emulation.now():.1f} s, in window {emulation.summary().window}")
        parts.append(standing(emulation.summary()))
        async with asyncio.timeout(COUNTERS_WALL_S):
            parts.append(tell_counters(await emulation.counters()))
    except (EccoError, netns.LabError, TimeoutError) as error:
        parts.append(str(error) or "the network does not answer")
    return "\n".join([*parts, *recent.lines])


async def tell_lab(lab: netns.Lab) -> str:
    async with asyncio.timeout(COUNTERS_WALL_S):
        return tell_counters(await lab.counters())


def tell_counters(counters: Mapping[str, netns.LinkCounters]) -> str:
    """A line for each link."""

    def told(way: netns.DirectionCounters) -> str:
        waiting = f", {way.backlog_bytes} bytes waiting" if way.backlog_bytes else ""
        return f"{way.packets} frames ({way.bytes} bytes), {way.drops} dropped{waiting}"

    return "\n".join(
        f"link {name}: out {told(link.egress)}; in {told(link.ingress)}" for name, link in counters.items()
    )


# -- fixtures --


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


@pytest.fixture(scope="session")
def ecco_workers() -> Iterator[WarmWorkers]:
    """The worker processes of runs that are over, for the runs of later tests. They end with the session."""
    from ecco_emu.host.warm import WarmWorkers

    with WarmWorkers() as workers:
        yield workers


@pytest_asyncio.fixture(loop_scope="function")
async def emulate(
    request: pytest.FixtureRequest, tmp_path: Path, ecco_workers: WarmWorkers
) -> AsyncIterator[Callable[..., Awaitable[Emulation]]]:
    """An async factory: ``emu = await emulate(scenario, **options)`` starts a run of a scenario file.

    Options are those of ``Emulation.from_file``, such as ``engine="simulated"``; the run directory is made
    under the test's tmp_path. Every run is stopped when the test ends, and must leave no child process and no
    task behind. Its worker processes are kept for the next test; ``workers=None`` gives a run processes of
    its own.
    """
    from ecco_emu.emulation.emulation import Emulation
    from ecco_emu.report.standing import RecentEvents

    loop = asyncio.get_running_loop()
    tasks_before, children_before = len(asyncio.all_tasks()), children()
    async with AsyncExitStack() as stack:

        async def start(scenario: str | Path, **options: Any) -> Emulation:
            check_loop(loop)
            given = {"out": tmp_path / "runs", "workers": ecco_workers, **options}
            if simulates(request.node):
                given.setdefault("engine", "simulated")
            emulation = Emulation.from_file(scenario, **given)
            recent = RecentEvents(RECENT_EVENTS)
            emulation.subscribe(recent.on_event)
            watch(request.node, f"run of {scenario}", lambda: tell_run(emulation, recent))
            return await stack.enter_async_context(emulation)

        yield start
    assert len(asyncio.all_tasks()) <= tasks_before, "the run left tasks behind"
    assert children() <= children_before | ecco_workers.pids, "the run left processes behind"


@pytest_asyncio.fixture(loop_scope="function")
async def lab(
    request: pytest.FixtureRequest,
) -> AsyncIterator[Callable[[netns.LabSpec], Awaitable[netns.Lab]]]:
    """An async factory of bare link labs: ``lab_ = await lab(netns.LabSpec(...))``.

    Each is taken down when the test ends, and must give back every file descriptor.
    """
    import netns

    loop = asyncio.get_running_loop()
    labs = 0
    gc.collect()  # sockets of earlier tests that wait for the collector would hide a leak of this one
    before = open_descriptors()
    async with AsyncExitStack() as stack:

        async def start(spec: netns.LabSpec) -> netns.Lab:
            nonlocal labs
            check_loop(loop)
            labs += 1
            built = await stack.enter_async_context(netns.Lab(spec))
            watch(request.node, "link lab", lambda: tell_lab(built))
            return built

        yield start
    gc.collect()
    # a run in the same test keeps its processes, and the pipes to them, for the next test
    if labs and "emulate" not in request.fixturenames:
        assert open_descriptors() <= before, "the lab left file descriptors open"
