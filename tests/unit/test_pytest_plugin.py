"""The pytest plug-in in projects of others: their modes, markers, fixtures, hosts and failed tests."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from ecco_emu import pytest_plugin

pytest_plugins = ("pytester",)

FAKE = """
import asyncio
import pytest
import pytest_asyncio

@pytest_asyncio.fixture(loop_scope="function")
async def fake(lab):
    '''A fixture of a project's own that uses one of the plug-in's.'''
    return asyncio.get_running_loop()
"""
TESTS = """
import asyncio
import pytest

async def test_plain(lab, fake):
    assert asyncio.get_running_loop() is fake

class TestThese:
    @pytest.mark.parametrize("number", [1, 2])
    async def test_method(self, fake, number):
        assert asyncio.get_running_loop() is fake

@pytest.mark.asyncio
async def test_marked(fake):
    assert asyncio.get_running_loop() is fake

def test_synchronous():
    pass
"""
Lacking = Callable[..., None]


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> Lacking:
    """Sets why this host cannot run tiers: the tests of the plug-in run everywhere alike."""

    def lacks(**reasons: str) -> None:
        monkeypatch.setattr(pytest_plugin, "lacking", reasons.get)

    lacks()
    return lacks


def configured(pytester: pytest.Pytester, *lines: str) -> None:
    pytester.makeini("\n".join(["[pytest]", "asyncio_default_fixture_loop_scope = function", *lines]))


@pytest.mark.usefixtures("lacking")
@pytest.mark.parametrize("mode", ["strict", "auto"])
@pytest.mark.parametrize("scope", ["function", "session"])
def test_tests_run_on_the_fixtures_loop_in_every_mode(
    pytester: pytest.Pytester, mode: str, scope: str
) -> None:
    configured(pytester, f"asyncio_mode = {mode}", f"asyncio_default_test_loop_scope = {scope}")
    pytester.makeconftest(FAKE)
    pytester.makepyfile(TESTS)
    pytester.runpytest("--strict-markers").assert_outcomes(passed=5)


@pytest.mark.usefixtures("lacking")
def test_asynchronous_tests_that_are_not_ours_are_left_alone(pytester: pytest.Pytester) -> None:
    configured(pytester)
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef lab():\n    return 'a lab of their own'")
    pytester.makepyfile("async def test_theirs(lab): pass\nasync def test_bare(): pass")
    result = pytester.runpytest()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*async def functions are not natively supported*"])


@pytest.mark.usefixtures("lacking")
def test_a_loop_that_tests_share_is_refused_with_the_way_out(pytester: pytest.Pytester) -> None:
    configured(pytester)
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.asyncio(loop_scope="module")
        async def test_shared(lab):
            await lab(None)
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["emulate and lab start and end on a loop of the test's own: leave loop_scope*"]
    )


def test_markers_of_others_are_theirs(pytester: pytest.Pytester, lacking: Lacking) -> None:
    lacking(gpu="no NVIDIA device", soak="not asked for")
    configured(pytester, "markers =", "    gpu: theirs", "    soak: theirs", "    netns: theirs")
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.gpu
        @pytest.mark.soak
        @pytest.mark.netns
        def test_theirs(): pass
        @pytest.mark.ecco_gpu
        def test_ours(): pass
        @pytest.mark.ecco_soak
        def test_long(): pass
        """
    )
    result = pytester.runpytest("--strict-markers", "-rs")
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED*test_markers_of_others_are_theirs.py:*: gpu: no NVIDIA device"])
    required = pytester.runpytest("--ecco-require", "gpu")
    required.assert_outcomes(passed=1, skipped=1, errors=1)
    required.stdout.fnmatch_lines(["required by --ecco-require, but gpu: no NVIDIA device"])


UNMARKED = """
import pytest
async def test_links(lab): raise AssertionError
async def test_run(emulate): raise AssertionError
@pytest.fixture
def emulate(emulate): return emulate
async def test_wrapped(emulate): raise AssertionError
def test_other(): pass
"""


def test_without_privileges_runs_are_simulated_and_labs_skipped_with_the_reason(
    pytester: pytest.Pytester, lacking: Lacking
) -> None:
    lacking(netns="needs root")
    configured(pytester)
    pytester.makepyfile(UNMARKED)
    result = pytester.runpytest("-rs")
    result.assert_outcomes(passed=1, skipped=1, failed=2)
    result.stdout.fnmatch_lines(
        ["ecco-emu: 2 tests on simulated links and clock (needs root)", "SKIPPED*netns: needs root"]
    )
    pytester.runpytest("-m", "ecco_netns").assert_outcomes(skipped=1, deselected=3)


def test_without_privileges_no_test_is_simulated_that_is_to_be_real(
    pytester: pytest.Pytester, lacking: Lacking
) -> None:
    lacking(netns="needs root")
    configured(pytester)
    pytester.makepyfile(UNMARKED)
    pytester.runpytest("--ecco-require", "netns").assert_outcomes(passed=1, errors=3)
    pytester.runpytest("--ecco-engine", "real").assert_outcomes(passed=1, skipped=3)


@pytest.mark.usefixtures("lacking")
def test_with_privileges_runs_are_simulated_where_asked(pytester: pytest.Pytester) -> None:
    configured(pytester)
    pytester.makeconftest(
        "from ecco_emu.pytest_plugin import simulates\n"
        "def pytest_collection_finish(session):\n"
        "    print('simulated:', *(item.name for item in session.items if simulates(item)))"
    )
    pytester.makepyfile(
        """
        import pytest
        async def test_plain(emulate): pass
        @pytest.mark.ecco_simulated
        async def test_simulated(emulate): pass
        @pytest.mark.ecco_netns
        async def test_real(emulate): pass
        """
    )
    usual = pytester.runpytest("--strict-markers", "--collect-only")
    usual.stdout.fnmatch_lines(["simulated: test_simulated"])
    asked = pytester.runpytest("--strict-markers", "--collect-only", "--ecco-engine", "simulated")
    asked.stdout.fnmatch_lines(["simulated: test_plain test_simulated"])


TOLD = """
import asyncio
import pytest_asyncio
from ecco_emu import pytest_plugin
from ecco_emu.core import events as ev
from ecco_emu.core.errors import EccoError
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.report.standing import RecentEvents
from netns.counters import DirectionCounters, LinkCounters

class Run:
    '''A run of one camera that streams, or one that has not begun.'''

    def __init__(self, begun):
        self.begun, self.metrics, self.recent = begun, RunMetrics(), RecentEvents(2)
        for event in (
            ev.Condition(t=0.0, camera="cam1", district="harbour", weather="day"),
            ev.Condition(t=1.0, camera="cam1", district="harbour", weather="fog"),
            ev.CameraConfigured(
                t=2.0, camera="cam1", state="streaming", fps=5, width=320, height=192, alpha=0.1
            ),
        ):
            self.metrics.apply(event)
            self.recent.on_event(event)

    @property
    def directory(self):
        if not self.begun:
            raise EccoError("the run has not begun")
        return "runs/A"

    def now(self):
        return 2.5

    def summary(self):
        return self.metrics

    async def counters(self):
        await asyncio.sleep(0)
        return {"cam1": LinkCounters(DirectionCounters(900, 9, 2, 60), DirectionCounters(80, 1, 0, 0))}

@pytest_asyncio.fixture(loop_scope="function")
async def run(request, lab):
    for begun in (True, False):
        run = Run(begun)
        tell = lambda run=run: pytest_plugin.tell_run(run, run.recent)
        pytest_plugin.watch(request.node, f"run of {begun}", tell)
"""


@pytest.mark.usefixtures("lacking")
def test_a_failed_test_shows_how_its_runs_stood(pytester: pytest.Pytester) -> None:
    configured(pytester)
    pytester.makeconftest(TOLD)
    pytester.makepyfile("async def test_fails(run):\n    assert False\nasync def test_holds(run): pass")
    result = pytester.runpytest()
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*- run of True -*",
            "run directory runs/A",
            "at 2.5 s, in window 0",
            "cam1: streaming, fog, 0 of 0 segments delivered",
            "link cam1: out 9 frames (900 bytes), 2 dropped, 60 bytes waiting; in 1 frames (80 bytes), *",
            "     1.0 s  cam1: fog in harbour",
            "     2.0 s  cam1 streams 320×192 at 5 fps",
            "*- run of False -*",
            "the run has not begun",
            "     1.0 s  cam1: fog in harbour",
        ],
        consecutive=True,
    )
    assert str(result.stdout).count("- run of True -") == 1


def test_it_works_without_any_configuration(pytester: pytest.Pytester) -> None:
    """In a process of its own, where nothing of this project's configuration holds. The host may have the
    privileges or not."""
    pytester.makepyfile("async def test_links(lab): pass")
    result = pytester.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert outcomes.get("passed", 0) + outcomes.get("skipped", 0) == 1
    assert outcomes.keys() <= {"passed", "skipped", "warnings"}
