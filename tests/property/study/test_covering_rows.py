"""The covering property holds for any axes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.study.grid import covering_rows


@given(st.lists(st.integers(1, 5), min_size=2, max_size=6))
def test_every_pair_of_values_is_in_some_row_and_no_row_is_wasted(sizes: list[int]) -> None:
    axes = [[f"{axis}-{value}" for value in range(size)] for axis, size in enumerate(sizes)]
    rows = covering_rows(axes)
    covered = {pair for row in rows for pair in itertools.combinations(row, 2)}
    wanted = {pair for a, b in itertools.combinations(axes, 2) for pair in itertools.product(a, b)}
    assert covered == wanted
    largest, second = sorted(sizes)[-1], sorted(sizes)[-2]
    assert largest * second <= len(rows) <= len(wanted)
