"""Figures over repetitions."""

from __future__ import annotations

import math

import pytest

from ecco_emu.study.statistics import Spread, medians, spreads


def test_a_spread_is_median_least_most_and_the_number_of_runs() -> None:
    assert Spread.of([0.02, 0.09, 0.04]) == Spread(0.04, 0.02, 0.09, 3)


def test_something_that_never_came_is_infinite() -> None:
    assert Spread.of([1.0, math.inf, math.inf]).median == math.inf


def test_no_values_have_no_spread() -> None:
    with pytest.raises(ValueError, match="no values"):
        Spread.of([])


def test_spreads_keep_the_order_of_rows_and_leave_empty_cells_out() -> None:
    found = spreads([("b", "x", 2.0), ("a", "y", 1.0), ("b", "x", 4.0)])
    assert list(found) == ["b", "a"]
    assert found == {"b": {"x": Spread(3.0, 2.0, 4.0, 2)}, "a": {"y": Spread(1.0, 1.0, 1.0, 1)}}


def test_medians_are_of_each_position() -> None:
    assert medians([(1.0, 9.0), (3.0, 5.0), (2.0, 7.0)]) == [2.0, 7.0]
    with pytest.raises(ValueError, match="shorter"):
        medians([(1.0, 2.0), (1.0,)])
