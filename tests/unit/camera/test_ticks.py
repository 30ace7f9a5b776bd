"""The frame clock, with literal times."""

from __future__ import annotations

import pytest

from ecco_emu.camera.budget import FIRST_SEGMENT_BITS, MIN_SEGMENT_BITS, Opening, segment_budget_bits
from ecco_emu.camera.streaming import segment_deadline
from ecco_emu.camera.ticks import FrameTicks


def test_ticks_follow_one_another_whatever_the_time_within_a_period() -> None:
    ticks = FrameTicks.at_rate(10.0, 5.0)
    assert ticks.next(0.0) == (0, 0.0, 0)
    assert ticks.next(0.01) == (2, 0.2, 0)
    assert ticks.next(0.21) == (4, 0.4, 0)


def test_a_stall_skips_frames_and_counts_them() -> None:
    ticks = FrameTicks.at_rate(10.0, 5.0)
    ticks.next(0.0)
    index, due, missed = ticks.next(1.05)  # frames 2, 4, 6, 8 are past, 10 is late by a quarter period
    assert (index, due, missed) == (10, 1.0, 4)
    assert ticks.next(1.06) == (12, 1.2, 0)


def test_it_begins_at_the_frame_that_is_due_now() -> None:
    ticks = FrameTicks.at_rate(10.0, 5.0)
    index, due, missed = ticks.next(7.33)
    assert missed == 0
    assert index % 2 == 0
    assert 7.33 - 0.2 < due <= 7.33 + 0.2


@pytest.mark.parametrize(("wanted", "got"), [(5.0, 5.0), (4.0, 5.0), (3.0, 10 / 3), (60.0, 10.0), (0.1, 0.1)])
def test_the_rate_is_what_the_clock_can_make(wanted: float, got: float) -> None:
    assert FrameTicks.at_rate(10.0, wanted).fps == pytest.approx(got)


def test_the_budget_is_what_congestion_control_allows_and_keeps_a_little_waiting() -> None:
    """Without anything waiting the connection was idle for a fifth of the time, as segments were encoded."""
    assert segment_budget_bits(allowed_bps=400e3, backlog_bytes=0, duration_s=1.0) == 480e3
    assert segment_budget_bits(allowed_bps=400e3, backlog_bytes=10_000, duration_s=1.0) == 400e3
    assert segment_budget_bits(allowed_bps=400e3, backlog_bytes=25_000, duration_s=1.0) == 280e3
    assert segment_budget_bits(allowed_bps=400e3, backlog_bytes=10**6, duration_s=1.0) == MIN_SEGMENT_BITS


def test_a_long_segment_waits_for_its_own_bytes_only() -> None:
    """A queue of a segment's own length leaves nothing to spare, however long the segment is."""
    assert segment_budget_bits(allowed_bps=100e3, backlog_bytes=2_500, duration_s=4.0) == 400e3
    assert segment_budget_bits(allowed_bps=100e3, backlog_bytes=27_500, duration_s=4.0) == 200e3


@pytest.mark.parametrize("duration_s", [0.2, 1.0, 3.0, 20.0])
def test_no_segment_is_late_by_construction(duration_s: float) -> None:
    """It can leave once its last frame is there, and its bits take its duration to send."""
    assert segment_deadline(10.0, duration_s, 4.0) >= 10.0 + duration_s + 2.0
    assert segment_deadline(10.0, duration_s, 4.0) <= 10.0 + max(1.0, duration_s) + 3.0


@pytest.mark.parametrize("now", [10.41, 10.5, 10.61])
@pytest.mark.parametrize("fps", [10.0, 5.0, 2.0, 1.0, 0.1])
def test_a_change_of_rate_goes_on_after_the_last_frame(now: float, fps: float) -> None:
    """It went back from frame 104 to 100."""
    index, due, missed = FrameTicks.at_rate(10.0, fps, after=104).next(now)
    assert index > 104
    assert index % round(10.0 / fps) == 0
    assert due == index / 10.0
    assert missed == 0


def test_the_first_segments_do_not_take_slow_start_at_its_word() -> None:
    """Their second of the rate that slow start allows took four seconds to send, and every first segment was
    stale."""
    opening = Opening()
    assert [opening.bounded(900e3) for _ in range(3)] == [FIRST_SEGMENT_BITS * part for part in (1, 2, 4)]
    assert opening.bounded(200e3) == 200e3
    assert opening.bounded(900e3) == 900e3  # later ones follow the allowed rate alone
