"""The share matrix as data: weights, flows, rates, queues, round trips, losses. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from ecco_emu.bench.transport.experiment import Cell, Experiment
from ecco_emu.control.shares import AlphaMapping
from ecco_emu.study.grid import all_rows, covering_rows

PATTERNS: tuple[tuple[int, ...], ...] = ((5, 3, 2), (1, 1, 1, 1), (8, 1, 1), (7, 4, 1, 1))
"""Weights of groups."""
FLOWS: tuple[int, ...] = (0, 10, 22)
"""Numbers of flows in all groups together. 0 stands for one flow each."""
RATES_BPS: tuple[float, ...] = (1e6, 3e6, 6e6, 12e6, 24e6)
QUEUES_S: tuple[float, ...] = (0.02, 0.05, 0.2)
ROUND_TRIPS: tuple[Literal["equal", "mixed"], ...] = ("equal", "mixed")
LOSSES: tuple[float, ...] = (0.0, 0.005, 0.02)

EQUAL_RTT_S = 0.02
MIXED_RTTS_S = (0.01, 0.08)
"""The shortest and the longest of mixed round trips."""


@dataclass(frozen=True, slots=True)
class MatrixPoint:
    """One cell of the matrix, by its coordinates: a value of each of ``AXES``, in their order."""

    pattern: tuple[int, ...]
    flows: int
    rate_bps: float
    queue_s: float
    rtt: Literal["equal", "mixed"]
    loss: float

    @property
    def label(self) -> str:
        """Its name in tables and in files of results."""
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
        """Of the flows."""
        return flow_weights(self.pattern, self.flows or len(self.pattern))

    def cell(self, mapping: AlphaMapping, seed: int, warmup_s: float = 20.0, measure_s: float = 60.0) -> Cell:
        """The cell to be run."""
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
assert len(AXES) == len(fields(MatrixPoint))


def full() -> list[MatrixPoint]:
    """Every combination of the axes' values."""
    return [MatrixPoint(*row) for row in all_rows(AXES)]


def spanning() -> list[MatrixPoint]:
    """Few points, always the same, in which every two values of different axes meet."""
    return [MatrixPoint(*row) for row in covering_rows(AXES)]


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels in the order of the matrix's points. A label of no point comes last."""
    places = {point.label: place for place, point in enumerate(full())}
    return sorted(labels, key=lambda label: places.get(label, len(places)))


def experiments(
    points: Sequence[MatrixPoint],
    mappings: Sequence[AlphaMapping],
    seeds: int,
    warmup_s: float = 20.0,
    measure_s: float = 60.0,
) -> list[Experiment]:
    """Every point with every mapping and seed, seed by seed: so the first results already span all points."""
    return [
        Experiment("shares", point.label, point.cell(mapping, seed, warmup_s, measure_s))
        for seed in range(seeds)
        for point in points
        for mapping in mappings
    ]


def flow_weights(pattern: Sequence[int], flows: int) -> tuple[float, ...]:
    """The flows' weights, group by group: a group's weight p_j is divided by its number of flows n_j.

    The groups have as even numbers of flows as possible; the first groups have one more where it does not
    divide. Raises ``ValueError`` for fewer flows than groups.

    >>> flow_weights((5, 3, 2), 4)
    (2.5, 2.5, 3.0, 2.0)
    """
    if flows < len(pattern):
        raise ValueError(f"{len(pattern)} groups need as many flows, not {flows}")
    each, more = divmod(flows, len(pattern))
    sizes = [each + (index < more) for index in range(len(pattern))]
    return tuple(p / size for p, size in zip(pattern, sizes, strict=True) for _ in range(size))


def mixed_rtts(flows: int) -> tuple[float, ...]:
    """Round trips in seconds, evenly spread over ``MIXED_RTTS_S``. Neighbouring flows, which are mostly of
    one group, get different ones: a group with only short round trips would hide its weight's effect."""
    low, high = MIXED_RTTS_S
    ordered = [low + (high - low) * index / max(flows - 1, 1) for index in range(flows)]
    half = (flows + 1) // 2
    dealt: list[float] = []
    for index in range(half):
        dealt += ordered[index::half]
    return tuple(dealt)
