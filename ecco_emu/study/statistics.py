"""Figures over repetitions. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

R = TypeVar("R", bound=Hashable)
"""A table's names of rows."""
C = TypeVar("C", bound=Hashable)
"""A table's names of columns."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over ``runs`` repetitions, in the figure's own unit."""

    median: float
    least: float
    most: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """``values``: one for each repetition, infinite ones allowed. Raises ``ValueError`` if there is
        none."""
        if not values:
            raise ValueError("no values")
        return cls(statistics.median(values), min(values), max(values), len(values))


def spreads(
    values: Iterable[tuple[R, C, float]],
) -> dict[R, dict[C, Spread]]:
    """The spread of every cell of a table. Each item of ``values`` is one repetition: row, column, value.

    Rows, and columns within a row, are in the order of their first value. A cell without values is absent.

    >>> spreads([("a", 1, 0.5), ("a", 1, 0.7), ("b", 2, 0.1)])["a"][1].runs
    2
    """
    found: dict[R, dict[C, list[float]]] = {}
    for row, column, value in values:
        found.setdefault(row, {}).setdefault(column, []).append(value)
    return {
        row: {column: Spread.of(some) for column, some in columns.items()} for row, columns in found.items()
    }


def medians(repetitions: Iterable[Sequence[float]]) -> list[float]:
    """The median of each position. ``repetitions``: (runs, positions). Raises ``ValueError`` for rows of
    different lengths.

    >>> medians([[1, 10], [2, 30], [9, 20]])
    [2, 20]
    """
    return [statistics.median(position) for position in zip(*repetitions, strict=True)]
