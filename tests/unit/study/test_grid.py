"""Grids: every combination, or rows in which every two values meet."""

from __future__ import annotations

import itertools

from ecco_emu.study.grid import all_rows, covering_rows


def test_all_rows_are_every_combination_in_order() -> None:
    assert all_rows([(1, 2), "ab"]) == [(1, "a"), (1, "b"), (2, "a"), (2, "b")]


def test_rows_that_cover_every_pair_are_fewer_than_all() -> None:
    axes = [range(4), range(3), range(5), range(3), range(2), range(3)]
    rows = covering_rows(axes)
    for a, b in itertools.combinations(range(len(axes)), 2):
        assert {(row[a], row[b]) for row in rows} == set(itertools.product(axes[a], axes[b]))
    assert len(rows) <= 25  # 20 is the least, of 1080
    assert rows == covering_rows(axes)


def test_one_axis_has_no_pairs() -> None:
    assert covering_rows([range(3)]) == []
