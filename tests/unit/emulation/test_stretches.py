"""Which students are measured in which weather, and on which frames."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.core.ids import CameraId, ModelHash
from ecco_emu.emulation.stretches import Held, Stretch, frames_of, stretches
from ecco_emu.world.source import ConditionChange

CAMERA = CameraId("cam1")
FIRST, SECOND, THIRD = (ModelHash(letter * 16) for letter in "123")
DAY_THEN_FOG = [ConditionChange(0.0, "d", "day"), ConditionChange(10.0, "d", "fog")]


def test_a_student_is_cut_where_the_weather_changes() -> None:
    found = stretches(CAMERA, DAY_THEN_FOG, [(0.0, FIRST), (20.0, SECOND)], None, 30.0)
    assert found == [
        Stretch(CAMERA, "day", 0.0, 10.0, False, (Held(FIRST, 0.0, 10.0),)),
        Stretch(CAMERA, "fog", 10.0, 30.0, True, (Held(FIRST, 10.0, 20.0), Held(SECOND, 20.0, 30.0))),
    ]


def test_a_student_that_had_not_arrived_is_measured_as_from_the_end() -> None:
    *_, last = stretches(CAMERA, DAY_THEN_FOG, [(0.0, FIRST)], THIRD, 30.0)
    assert last.students == (Held(FIRST, 10.0, 30.0), Held(THIRD, 30.0, 30.0))


def test_a_change_to_the_same_weather_is_none_and_one_after_the_end_never_came() -> None:
    changes = [*DAY_THEN_FOG, ConditionChange(15.0, "d", "fog"), ConditionChange(40.0, "d", "night")]
    assert [(one.condition, one.end) for one in stretches(CAMERA, changes, [(0.0, FIRST)], None, 30.0)] == [
        ("day", 10.0),
        ("fog", 30.0),
    ]


@given(st.lists(st.floats(0.1, 59.0), max_size=6), st.lists(st.floats(0.1, 59.0), max_size=4))
def test_the_whole_run_is_measured_and_nothing_twice(switched: list[float], turned: list[float]) -> None:
    switches = [(t, ModelHash(f"{place:016x}")) for place, t in enumerate([0.0, *sorted(switched)])]
    changes = [
        ConditionChange(t, "d", ("day", "fog")[place % 2])
        for place, t in enumerate([0.0, *sorted(set(turned))])
    ]
    held = [one for each in stretches(CAMERA, changes, switches, None, 60.0) for one in each.students]
    assert held[0].start == 0.0
    assert held[-1].end == 60.0
    assert all(before.end == after.start for before, after in pairwise(held))


def stretch(start: float, end: float, *, last: bool = False) -> Stretch:
    return Stretch(CAMERA, "fog", start, end, last, ())


def test_frames_are_spread_over_the_whole_stretch_after_its_fade() -> None:
    frames = frames_of(stretch(10.0, 110.0), 5.0, lambda t: t >= 11.0)
    assert len(frames) == 32
    assert frames[0] == 55
    assert frames[-1] >= 530
    assert {after - before for before, after in pairwise(frames)} <= {15, 16}


def test_a_short_stretch_gives_all_of_its_frames() -> None:
    assert frames_of(stretch(10.0, 12.0), 5.0, lambda t: True) == list(range(50, 60))


def test_the_last_stretch_goes_on_until_it_has_enough_frames() -> None:
    assert frames_of(stretch(29.0, 30.0, last=True), 5.0, lambda t: True) == list(range(145, 177))
    # it fades beyond the end, as the weather changed just before
    assert frames_of(stretch(29.0, 30.0, last=True), 5.0, lambda t: t >= 31.0)[0] == 155


@pytest.mark.parametrize("last", [False, True])
def test_weather_that_never_settles_is_not_measured(last: bool) -> None:
    assert frames_of(stretch(10.0, 12.0, last=last), 5.0, lambda t: False) == []
