"""Grids of parameters: every combination of the axes' values, or few in which every two values meet. Pure."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

_Choice = tuple[int, int]
"""An axis, and the index of one of its values."""


def all_rows(axes: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Every combination of one value of each axis, in the axes' order; the last axis varies fastest.

    >>> all_rows([["a", "b"], [1, 2]])
    [('a', 1), ('a', 2), ('b', 1), ('b', 2)]
    """
    return list(itertools.product(*axes))


def covering_rows(axes: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """A pairwise covering array: any two values of different axes are together in at least one row.

    The same axes always give the same rows. For fewer than two axes there are no pairs, and so no rows.

    The construction is greedy, as in AETG (Cohen et al., IEEE Transactions on Software Engineering 23(7),
    1997) but without AETG's random choices. Each row starts from a pair that no row has yet. Then every other
    axis adds the value that covers most of the missing pairs; of equally good values, the one used least so
    far.

    >>> covering_rows([["a", "b"], [1, 2], ["x", "y"]])
    [('a', 1, 'x'), ('a', 2, 'y'), ('b', 1, 'y'), ('b', 2, 'x')]
    """
    missing = dict.fromkeys(
        ((a, x), (b, y))
        for a, b in itertools.combinations(range(len(axes)), 2)
        for x in range(len(axes[a]))
        for y in range(len(axes[b]))
    )  # a dict, not a set: its order is the same in every process
    used: Counter[_Choice] = Counter()
    rows = []
    while missing:
        row = dict(next(iter(missing)))
        for axis in range(len(axes)):
            if axis not in row:
                row[axis] = _best_value(axis, len(axes[axis]), row, missing, used)
        chosen = sorted(row.items())
        used.update(chosen)
        for pair in itertools.combinations(chosen, 2):
            missing.pop(pair, None)
        rows.append(tuple(axes[axis][value] for axis, value in chosen))
    return rows


def _best_value(
    axis: int,
    count: int,
    row: dict[int, int],
    missing: dict[tuple[_Choice, _Choice], None],
    used: Counter[_Choice],
) -> int:
    """The index, below ``count``, of the value of ``axis`` that is best added to an unfinished row."""

    def worth(value: int) -> tuple[int, int, int]:
        new = sum(tuple(sorted(((axis, value), other))) in missing for other in row.items())
        return new, -used[axis, value], -value

    return max(range(count), key=worth)
