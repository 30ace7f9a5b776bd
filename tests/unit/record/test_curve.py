"""A camera's accuracy over time, from measured students and from glimpses."""

from __future__ import annotations

import math

import pytest

from ecco_emu.core import events as ev
from ecco_emu.record.curve import GlimpsedCurve, MeasuredCurve


def step(start: float, end: float, value: float | None) -> ev.StudentMeasured:
    return ev.StudentMeasured(
        t=99.0, camera="a", model=f"m{start:g}", start=start, end=end, weather="day", map=value, map50=value,
        frames=32,
    )  # fmt: skip


CURVE = MeasuredCurve(
    [step(0, 10, 0.6), step(10, 20, 0.1), step(20, 30, None), step(40, 50, 0.5), step(50, 50, 0.7)]
)


@pytest.mark.parametrize(
    ("t", "expected"),
    [
        (-1, None),
        (0, 0.6),
        (9.9, 0.6),
        (10, 0.1),
        (25, None),
        (35, None),
        (45, 0.5),
        (50, 0.7),
        (math.inf, 0.7),
    ],
)
def test_a_step_holds_from_its_start_to_its_end(t: float, expected: float | None) -> None:
    assert CURVE.at(t) == expected


def test_a_mean_is_by_time_and_leaves_out_what_was_not_measured() -> None:
    assert CURVE.mean(5, 15) == pytest.approx(0.35)
    assert CURVE.mean(15, 45) == pytest.approx((0.1 * 5 + 0.5 * 5) / 10)
    assert CURVE.mean(20, 40) is None
    assert CURVE.mean(0, math.inf) == pytest.approx((6 + 1 + 5) / 30)


def test_the_lowest_is_of_what_ran_then() -> None:
    assert CURVE.lowest(10, 16) == 0.1
    assert CURVE.lowest(20, 26) is None  # the step of 0.1 is over
    assert CURVE.lowest(50, 56) == 0.7


def test_the_answer_is_the_first_student_that_reaches_the_threshold() -> None:
    assert CURVE.reached(12, math.inf, 0.4, 3) == 40
    assert CURVE.reached(12, 40, 0.4, 1) is None
    assert CURVE.reached(5, math.inf, 0.4, 1) == 5  # never below
    assert CURVE.reached(12, math.inf, 0.6, 1) is None  # the student of 0.7 never ran


def test_a_line_is_broken_where_nothing_was_measured() -> None:
    line = MeasuredCurve([step(0, 1, 0.5), step(1, 2, 0.6), step(3, 4, 0.7)]).line()
    assert [(t, value) for t, value, _ in line] == [
        (0, 0.5), (1, 0.5), (1, 0.6), (2, 0.6), (2, None), (3, 0.7), (4, 0.7),
    ]  # fmt: skip


def glimpsed(*points: tuple[float, float]) -> GlimpsedCurve:
    return GlimpsedCurve(
        [ev.Accuracy(t=t, camera="a", map=value, map50=value, frames=8, model="m") for t, value in points]
    )


@pytest.mark.parametrize(
    ("points", "in_a_row", "expected"),
    [
        ([(9, 0.1), (12, 0.3), (25, 0.4), (26, 0.1)], 1, 25),
        ([(9, 0.1), (12, 0.3), (25, 0.4), (26, 0.1), (28, 0.5), (30, 0.5)], 2, 28),  # one alone is chance
        ([(9, 0.1), (25, 0.4)], 2, None),
        ([(9, 0.6), (11, 0.5), (13, 0.1), (30, 0.45)], 1, 30),  # not fallen yet when it asked
        ([(9, 0.1), (20, 0.39)], 1, None),
        ([(9, 0.1)], 1, None),
        ([(9, 0.6), (12, 0.6)], 2, 10),
        ([(3, 0.1), (9, 0.6), (12, 0.6)], 1, 10),
        ([(9, 0.1), (10, 0.5)], 1, 10),
        ([(9, 0.1), (40, 0.5)], 1, None),  # too late: there was another drift meanwhile
    ],
)
def test_glimpses_reach_the_threshold_in_a_row(
    points: list[tuple[float, float]], in_a_row: int, expected: float | None
) -> None:
    assert glimpsed(*points).reached(10, 40, 0.4, in_a_row) == expected


def test_the_mean_of_glimpses_is_that_of_those_in_its_time() -> None:
    curve = glimpsed((1, 0.2), (5, 0.4), (9, 0.9))
    assert curve.mean(1, 9) == pytest.approx(0.3)
    assert curve.mean(10, 20) is None
    assert curve.lowest(5, 9) == 0.4
