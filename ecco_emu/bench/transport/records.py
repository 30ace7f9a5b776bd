"""The result of one run of one experiment, and figures over the repetitions of an experiment. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ecco_emu.bench.transport.experiment import Experiment, Way
from ecco_emu.bench.transport.measures import Cost, Response, Result
from ecco_emu.control.shares import AlphaMapping
from ecco_emu.study import records
from ecco_emu.study.statistics import Spread, medians, spreads


@dataclass(frozen=True, slots=True)
class Record:
    """One run of one experiment. Exactly one of ``result``, ``response``, ``cost`` and ``unsupported`` is
    set.

    The fields' names, and those of the types within, are the format of files of results: a file of an older
    version must stay readable.
    """

    experiment: Experiment
    way: Way
    result: Result | None = None
    response: Response | None = None
    """For an experiment with a change."""
    cost: Cost | None = None
    """For a measurement of CPU."""
    unsupported: str | None = None
    """The reason why this host could not run it."""
    took_s: float = 0.0
    """On the wall's clock."""


def missing(experiments: Iterable[Experiment], way: Way, known: Iterable[Record]) -> list[Experiment]:
    """The experiments without a result of this way. An unsupported one has none: it may be possible now."""
    return records.missing(
        experiments,
        known,
        lambda one: one.experiment if one.way == way and one.unsupported is None else None,
    )


Column = tuple[Way, AlphaMapping]
"""A column of a table of experiments."""
Reading = Callable[[Record], float | None]
"""Takes a figure from a record; None if the record does not have it."""


def table(records: Iterable[Record], group: str, reading: Reading) -> dict[str, dict[Column, Spread]]:
    """By label, then by way and mapping: a figure of the experiments of ``group``, over the repetitions that
    have it."""
    return spreads(
        (record.experiment.label, (record.way, record.experiment.cell.mapping), value)
        for record in records
        if record.experiment.group == group and (value := reading(record)) is not None
    )


def of_result(name: str) -> Reading:
    """Takes the field ``name`` of the result."""

    def reading(record: Record) -> float | None:
        return None if record.result is None else _number(record.result, name)

    return reading


def of_cost(name: str) -> Reading:
    """Takes the field ``name`` of the cost."""

    def reading(record: Record) -> float | None:
        return None if record.cost is None else _number(record.cost, name)

    return reading


def _number(of: Result | Cost, name: str) -> float | None:
    value = getattr(of, name)
    return None if value is None else float(value)


def reached(record: Record) -> float | None:
    """Takes the seconds until a change was followed; infinite if it never was."""
    if record.response is None:
        return None
    return float("inf") if record.response.reached_s is None else record.response.reached_s


@dataclass(frozen=True, slots=True)
class Difference:
    """How far simulated shares are from real ones: the median and the largest over ``cells`` cells."""

    median: float
    most: float
    cells: int


def difference(records: Sequence[Record], mapping: AlphaMapping) -> Difference | None:
    """Compares the cells that were measured both ways with ``mapping``; None if there is none.

    A cell's difference is the largest of its flows': that of the flow's simulated and real share (each the
    median over repetitions), relative to the flow's weighted share.
    """
    shares: dict[str, dict[Way, list[tuple[float, ...]]]] = {}
    weights: dict[str, tuple[float, ...]] = {}
    for record in records:
        cell = record.experiment.cell
        if record.result is None or record.experiment.change is not None or cell.mapping != mapping:
            continue
        label = f"{record.experiment.group} {record.experiment.label}"
        weights[label] = cell.weights
        shares.setdefault(label, {}).setdefault(record.way, []).append(record.result.share)
    gaps = []
    for label, by_way in shares.items():
        if len(by_way) < 2:
            continue
        total = sum(weights[label])
        pairs = zip(medians(by_way["simulated"]), medians(by_way["real"]), weights[label], strict=True)
        gaps.append(max(abs(one - other) * total / weight for one, other, weight in pairs))
    return Difference(statistics.median(gaps), max(gaps), len(gaps)) if gaps else None
