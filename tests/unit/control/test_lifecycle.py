"""When a job has done its work."""

import pytest

from ecco_emu.control.evidence import Estimate
from ecco_emu.control.lifecycle import RECOVERED, JobProgress, RecoveryRule
from ecco_emu.core.ids import CameraId

CAM1, CAM2 = CameraId("cam1"), CameraId("cam2")
RULE = RecoveryRule(recovered=0.4, flat_gain=0.01)


def progress(*values: float | None, gains: tuple[float, ...] = (0.01, 0.0), trained: int = 20) -> JobProgress:
    members = {
        CameraId(f"cam{number}"): None if value is None else Estimate(value, 32)
        for number, value in enumerate(values)
    }
    return JobProgress(members, gains, trained)


def test_a_job_ends_when_every_member_recovered_and_gains_are_flat() -> None:
    assert RULE.ends(progress(0.4, 0.6)) == RECOVERED


@pytest.mark.parametrize(
    "going_on",
    [
        progress(0.39, 0.6),
        progress(None, 0.6),  # one could not be measured
        progress(0.6, 0.6, gains=(0.05, 0.0)),
        progress(0.6, 0.6, gains=()),  # it got no GPU time in this window
        progress(0.6, 0.6, trained=0),
        progress(),
    ],
)
def test_otherwise_it_goes_on(going_on: JobProgress) -> None:
    assert RULE.ends(going_on) is None


def test_gains_are_flat_on_the_mean_of_the_window() -> None:
    assert RULE.ends(progress(0.6, gains=(0.03, -0.02))) == RECOVERED
