"""The share matrix as data: weights, flows, rates, queues, round trips, losses. Pure, always the same."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from ecco_emu.bench.transport.experiment import Cell, Experiment, Mapping

PATTERNS: tuple[tuple[int, ...], ...] = ((5, 3, 2), (1, 1, 1, 1), (8, 1, 1), (7, 4, 1, 1))
"""Weights of groups."""
FLOWS: tuple[int, ...] = (0, 10, 22)
"""How many flows the groups have together; 0: one each."""
RATES_BPS: tuple[float, ...] = (1e6, 3e6, 6e6, 12e6, 24e6)
QUEUES_S: tuple[float, ...] = (0.02, 0.05, 0.2)
ROUND_TRIPS: tuple[Literal["equal", "mixed"], ...] = ("equal", "mixed")
LOSSES: tuple[float, ...] = (0.0, 0.005, 0.02)

EQUAL_RTT_S = 0.02
MIXED_RTTS_S = (0.01, 0.08)


@dataclass(frozen=True, slots=True)
class Point:
    """One cell of the matrix, by its coordinates."""

    pattern: tuple[int, ...]
    flows: int
    rate_bps: float
    queue_s: float
    rtt: Literal["equal", "mixed"]
    loss: float

    @property
    def label(self) -> str:
        return ", ".join(self.values)

    @property
    def values(self) -> tuple[str, ...]:
        """Its coordinates in words, one for each axis."""
        rtt = "20 ms" if self.rtt == "equal" else "10-80 ms"
        return (
            ":".join(map(str, self.pattern)),
            f"{len(self.weights)} flows",
            f"{self.rate_bps / 1e6:g} Mbit/s",
            f"queue {self.queue_s * 1e3:g} ms",
            f"RTT {rtt}",
            f"loss {self.loss * 100:g} %",
        )

    @property
    def weights(self) -> tuple[float, ...]:
        return flow_weights(self.pattern, self.flows or len(self.pattern))

    def cell(self, mapping: Mapping, seed: int, warmup_s: float = 20.0, measure_s: float = 60.0) -> Cell:
        weights = self.weights
        rtts = (EQUAL_RTT_S,) * len(weights) if self.rtt == "equal" else mixed_rtts(len(weights))
        return Cell(
            weights,
            self.rate_bps,
            self.queue_s,
            rtts,
            loss=self.loss,
            mapping=mapping,
            seed=seed,
            warmup_s=warmup_s,
            measure_s=measure_s,
        )


AXES: tuple[tuple[Any, ...], ...] = (PATTERNS, FLOWS, RATES_BPS, QUEUES_S, ROUND_TRIPS, LOSSES)
assert len(AXES) == len(fields(Point))


def full() -> list[Point]:
    """Every combination."""
    return [Point(*values) for values in itertools.product(*AXES)]


def spanning() -> list[Point]:
    """Few points in which every two values of different axes meet."""
    return [Point(*row) for row in covering_rows(AXES)]


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels of points, as the matrix has them; others last."""
    places = {point.label: place for place, point in enumerate(full())}
    return sorted(labels, key=lambda label: places.get(label, len(places)))


def experiments(
    points: Sequence[Point],
    mappings: Sequence[Mapping],
    seeds: int,
    warmup_s: float = 20.0,
    measure_s: float = 60.0,
) -> list[Experiment]:
    """Every point with every mapping and seed; seed by seed, so that early results already span them all."""
    return [
        Experiment("shares", point.label, point.cell(mapping, seed, warmup_s, measure_s))
        for seed in range(seeds)
        for point in points
        for mapping in mappings
    ]


def flow_weights(pattern: Sequence[int], flows: int) -> tuple[float, ...]:
    """Each flow's weight p_j / n_j, group by group, n_j as even as can be (first groups get one more).

    >>> flow_weights((5, 3, 2), 4)
    (2.5, 2.5, 3.0, 2.0)
    """
    if flows < len(pattern):
        raise ValueError(f"{len(pattern)} groups need as many flows, not {flows}")
    each, more = divmod(flows, len(pattern))
    sizes = [each + (index < more) for index in range(len(pattern))]
    return tuple(p / size for p, size in zip(pattern, sizes, strict=True) for _ in range(size))


def mixed_rtts(flows: int) -> tuple[float, ...]:
    """Round trips spread evenly over ``MIXED_RTTS_S``, dealt out so that neighbours (a group's) differ."""
    low, high = MIXED_RTTS_S
    ordered = [low + (high - low) * index / max(flows - 1, 1) for index in range(flows)]
    half = (flows + 1) // 2
    dealt: list[float] = []
    for index in range(half):
        dealt += ordered[index::half]
    return tuple(dealt)


def covering_rows(axes: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Rows, one value of each axis, such that every two values of different axes are together in some row.

    Greedy (as AETG, without its chance): each row starts from a pair that is still missing and takes, axis by
    axis, the value that brings most missing pairs, at a tie the one used least so far.
    """
    missing = dict.fromkeys(
        ((a, x), (b, y))
        for a, b in itertools.combinations(range(len(axes)), 2)
        for x in range(len(axes[a]))
        for y in range(len(axes[b]))
    )
    used: Counter[tuple[int, int]] = Counter()
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
    missing: dict[tuple[tuple[int, int], tuple[int, int]], None],
    used: Counter[tuple[int, int]],
) -> int:
    def worth(value: int) -> tuple[int, int, int]:
        new = sum(tuple(sorted(((axis, value), other))) in missing for other in row.items())
        return new, -used[axis, value], -value

    return max(range(count), key=worth)
