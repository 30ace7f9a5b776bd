"""A run of scenarios/second-drift.yaml: cameras that drift alike are one group; who drifts again leaves.

Training is real, links and clock are simulated: the test is about decisions. The third drift, after which all
find together again, is left to a person who looks at the run: how soon each camera notices it depends on how
well its student has recovered by then, and the run would take twice as long.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ecco_emu.emulation.emulation import Emulation
from ecco_emu.record.metrics import RunMetrics

pytestmark = [pytest.mark.ecco_simulated, pytest.mark.timeout(1500)]

SCENARIO = Path(__file__).parents[3] / "scenarios" / "second-drift.yaml"
CAMERAS = ("quay1", "west1", "north1")
WINDOW_S = 16.0
LATE_S = 4.0
"""A window's end takes this long at most: measuring takes the GPUs' time."""
Emulate = Callable[..., Awaitable[Emulation]]


async def test_cameras_that_drift_alike_are_one_group_and_one_that_drifts_again_is_split_off(
    emulate: Emulate,
) -> None:
    emu = await emulate(SCENARIO, overrides=["transport.qlog=false"])
    await emu.until(t=61.0)
    # Two and a half windows in fog, or two in the night, are enough for one of the jobs to be over.
    await emu.until(one_recovered, timeout=5 * WINDOW_S + LATE_S - 61.0)
    seen = emu.summary()
    assert seen.troubles == []
    check_first_drift(seen)
    check_second_drift(seen)


def check_first_drift(seen: RunMetrics) -> None:
    """All three drift into fog at 6 s: one job before the second window is over."""
    [job] = {seen.camera(name).job_at(2 * WINDOW_S) for name in CAMERAS}
    assert job is not None


def check_second_drift(seen: RunMetrics) -> None:
    """Night comes to north1 alone at 38 s, in the third window: it leaves then. The others stay until the job
    ends."""
    first = seen.camera("quay1").job_at(37.0)
    [left] = [stay for stay in seen.camera("north1").memberships if stay.job == first]
    assert left.end is not None
    assert 38.0 < left.end <= 3 * WINDOW_S + LATE_S
    assert seen.camera("north1").job_at(60.0) not in (None, first)
    for name in ("quay1", "west1"):
        [stayed] = [stay for stay in seen.camera(name).memberships if stay.job == first]
        assert stayed.ended_by in (None, "released")


def one_recovered(seen: RunMetrics) -> bool:
    return "recovered" in {job.ended.reason for job in seen.jobs.values() if job.ended is not None}
