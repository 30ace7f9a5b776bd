"""A request from the drift to its answer, with literal times and frames."""

from __future__ import annotations

import numpy as np
import pytest

from ecco_emu.camera.asking import REQUEST_FRAMES, REQUEST_WAIT_S, Asking, RecentFrames, spread
from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId


def frame(index: int, fps: float = 4.0) -> Frame:
    return Frame(CameraId("cam1"), index, index / fps, np.zeros((2, 2, 3), np.uint8))


def test_only_frames_since_the_onset_are_evidence() -> None:
    recent = RecentFrames()
    for index in range(40):
        recent.add(frame(index))
    assert [each.t for each in recent.since(9.25)] == [9.25, 9.5, 9.75]
    assert len(recent.since(0.0)) == 24  # memory is bounded, whatever the onset


@pytest.mark.parametrize(
    ("held", "count", "chosen"),
    [
        (3, 8, [0, 1, 2]),
        (8, 8, list(range(8))),
        (15, 8, [0, 2, 4, 6, 8, 10, 12, 14]),
        (5, 2, [0, 4]),
        (5, 1, [4]),
    ],
)
def test_frames_are_spread_over_the_whole_time(held: int, count: int, chosen: list[int]) -> None:
    assert [each.index for each in spread([frame(index) for index in range(held)], count)] == chosen


def test_it_asks_with_enough_frames_or_after_a_bounded_wait() -> None:
    asking = Asking()
    assert not asking.due(10.0, 99)
    asking.noticed(since=9.0, t=10.0)
    assert not asking.due(10.0, REQUEST_FRAMES - 1)
    assert asking.due(10.25, REQUEST_FRAMES)
    assert not asking.due(10.0 + REQUEST_WAIT_S - 0.1, 1)
    assert asking.due(10.0 + REQUEST_WAIT_S, 1)


def test_an_assignment_before_it_has_asked_answers_nothing() -> None:
    asking = Asking()
    asking.noticed(since=9.0, t=10.0)
    assert not asking.assigned()
    assert asking.drift is not None
    asking.drift.asked = True
    assert asking.assigned()
    assert asking.drift is None
    assert not asking.assigned()


def test_a_refused_request_is_made_again_when_it_may() -> None:
    asking = Asking()
    asking.refused(1.0, 5.0)  # of nothing: ignored
    asking.noticed(since=9.0, t=10.0)
    assert asking.drift is not None
    asking.drift.asked = True
    asking.refused(12.0, 30.0)
    assert not asking.asked
    assert not asking.due(41.9, 99)
    assert not asking.retries(41.9)
    assert asking.retries(42.0)
    assert asking.drift.frames_from == 12.0
    assert not asking.due(42.0, 1)
    assert asking.due(42.0, REQUEST_FRAMES)
    assert asking.due(42.0 + REQUEST_WAIT_S, 1)
    assert asking.assigned()  # a job took it in after all


def test_a_later_drift_takes_the_place_of_one_that_nobody_answered() -> None:
    asking = Asking()
    asking.noticed(since=9.0, t=10.0)
    assert asking.drift is not None
    asking.drift.asked = True
    asking.noticed(since=19.0, t=20.0)
    assert not asking.asked
    assert asking.drift.since == 19.0
