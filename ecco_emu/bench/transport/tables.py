"""The tables of a run's records. Pure."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence

from ecco_emu.bench import measurement
from ecco_emu.bench.transport.matrix import MatrixPoint, full, in_order
from ecco_emu.bench.transport.records import (
    Column,
    Reading,
    Record,
    difference,
    of_cost,
    of_result,
    reached,
    table,
)
from ecco_emu.bench.transport.run import ALONE, TOGETHER
from ecco_emu.bench.transport.situations import RESPONSE_TARGETS_S
from ecco_emu.bench.transport.targets import SHARE_ERROR, judged, judged_mapping
from ecco_emu.control.shares import AlphaMapping
from ecco_emu.study.statistics import Spread
from ecco_emu.study.tables import NOTHING, Table, number, spread

MANY_CELLS = 40
"""A table of more cells than this lists only those that are remarkable."""
LATE_S = 0.01
"""The shortest round trip of the matrix. Flows on a loop with more lag than this show the host's load, not
the transport."""

Heading = tuple[str, str, float]
"""A column: its heading, the field that it shows, and the factor from the field's unit to the heading's."""
_FIG11: tuple[Heading, ...] = (
    ("share error, %", "share_error", 100),
    ("used, %", "utilisation", 100),
    ("loss, %", "loss", 100),
    ("queue mean, ms", "queue_mean_s", 1e3),
    ("p95, ms", "queue_p95_s", 1e3),
    ("most, ms", "queue_max_s", 1e3),
)
_UNDISTURBED: tuple[Heading, ...] = (*_FIG11[:3], ("loop lag p99, ms", "lag_p99_s", 1e3))
_COSTS: tuple[Heading, ...] = (
    ("goodput, Mbit/s", "goodput_bps", 1e-6),
    ("CPU, % of a core", "cpu", 100),
    ("of it kernel, %", "system", 100),
    ("µs per packet", "us_per_packet", 1),
    ("Mbit per CPU second", "goodput_per_cpu_bps", 1e-6),
    ("loop lag p50, ms", "lag_p50_s", 1e3),
    ("p99, ms", "lag_p99_s", 1e3),
)


def all_tables(records: Sequence[Record]) -> list[Table]:
    """Every table for which there are measurements."""
    made = (
        measurement.table("Targets", judged(records)),
        shares_by_axis(records),
        shares(records),
        fig11(records),
        convergence(records),
        undisturbed(records),
        costs(records),
    )
    return [one for one in made if one.rows or one.notes]


def shares_by_axis(records: Sequence[Record]) -> Table:
    """For each value of each axis, how many simulated cells are within the target. Only of many cells."""
    found = table(records, "shares", of_result("share_error"))
    columns = [column for column in _columns(found.values()) if column[0] == "simulated"]
    points = [point for point in sorted(full(), key=lambda one: len(one.weights)) if point.label in found]
    if len(points) <= MANY_CELLS:
        points = []

    def row(name: str, some: Iterable[MatrixPoint]) -> tuple[str, ...]:
        rows = [found[point.label] for point in some]
        held = (_held([one[column] for one in rows if column in one]) for column in columns)
        return name, *itertools.chain.from_iterable(held)

    rows = [row("any", points)] if points else []
    for axis in zip(*(point.values for point in points), strict=True):
        for value in dict.fromkeys(axis):
            rows.append(row(value, itertools.compress(points, (own == value for own in axis))))
    headings = (
        "cells with",
        *(f"{mapping}, {what}" for _, mapping in columns for what in ("within 5 %", "median, %", "worst, %")),
    )
    return Table("Share error over the matrix, simulated", headings, tuple(rows))


def _held(spreads: Sequence[Spread]) -> tuple[str, str, str]:
    medians = [one.median for one in spreads]
    if not medians:
        return NOTHING, NOTHING, NOTHING
    within = sum(value <= SHARE_ERROR for value in medians)
    return (
        f"{within} of {len(medians)}",
        number(100 * statistics.median(medians)),
        number(100 * max(medians)),
    )


def shares(records: Sequence[Record]) -> Table:
    """Share errors over the matrix, a row for each cell. Of many cells, only those that were measured on real
    links too and those that miss the target."""
    found = table(records, "shares", of_result("share_error"))
    columns = _columns(found.values())
    judged_by = judged_mapping(mapping for _, mapping in columns)
    shown = {
        label: row
        for label, row in found.items()
        if len(found) <= MANY_CELLS
        or any(way == "real" for way, _ in row)
        or any(mapping == judged_by and row[way, mapping].median > SHARE_ERROR for way, mapping in row)
    }
    rows = [
        (label, *(spread(shown[label].get(column), 100) for column in columns)) for label in in_order(shown)
    ]
    notes = [
        f"{_name(column)}: {_summary([row[column].median for row in found.values() if column in row])}"
        for column in columns
    ]
    for mapping in dict.fromkeys(mapping for _, mapping in columns):
        notes += _difference_note(records, mapping)
    if len(shown) < len(found):
        left_out = len(found) - len(shown)
        notes.append(f"{left_out} cells that were simulated only and hold with {judged_by} are not listed")
    notes += _late(records) + _unsupported(records, "shares")
    headings = ("cell", *map(_name, columns))
    return Table("Share error in %, median (least to most)", headings, tuple(rows), tuple(notes))


def _summary(medians: Sequence[float]) -> str:
    within = sum(value <= SHARE_ERROR for value in medians)
    return (
        f"{within} of {len(medians)} cells within {SHARE_ERROR * 100:g} %, "
        f"median cell {spread(Spread.of(medians), 100)} %"
    )


def _late(records: Iterable[Record]) -> list[str]:
    """A warning that some figures of real links may show a busy host."""
    lags = [
        one.result.lag_p99_s for one in records if one.result is not None and one.result.lag_p99_s is not None
    ]
    late = [lag for lag in lags if lag > LATE_S]
    if not late:
        return []
    return [
        f"{len(late)} of {len(lags)} runs on real links had a loop lag (p99) over {LATE_S * 1e3:g} ms, "
        f"{max(late) * 1e3:.0f} ms at most: this host was busy"
    ]


def _difference_note(records: Sequence[Record], mapping: AlphaMapping) -> list[str]:
    gap = difference(records, mapping)
    if gap is None:
        return []
    return [
        f"{mapping}, simulated against real in {gap.cells} cells: the largest difference of a flow's share, "
        f"relative to its weighted share, is {gap.median * 100:.2g} % in the median cell and "
        f"{gap.most * 100:.2g} % in the worst"
    ]


def fig11(records: Sequence[Record]) -> Table:
    """Figure 11's situation: errors of the flows that are not capped, and how full and long the queue was."""
    found = _figures(records, "fig11", of_result, _FIG11)
    rows = tuple((f"{label}; {_name(column)}", *cells) for label, column, cells in found)
    notes = ["wanted: share error ≤ 5 %, bottleneck ≥ 95 % used, queue below its length, loss ≤ 2 %"]
    return Table(
        "Two flows capped by their own uplinks (fig11)",
        ("cell; way, mapping", *(heading for heading, *_ in _FIG11)),
        rows,
        tuple(notes if rows else _unsupported(records, "fig11")),
    )


def convergence(records: Sequence[Record]) -> Table:
    """How soon flows followed a change, and for what part of the time after that they still did."""
    times = table(records, "convergence", reached)
    held = table(records, "convergence", lambda one: one.response.held if one.response else None)
    kinds = {one.experiment.label: one.response.of for one in records if one.response is not None}
    rows = [
        (
            label,
            _name(column),
            spread(time),
            f"≤ {RESPONSE_TARGETS_S[kinds[label]]:g}",
            spread(held[label][column], 100),
        )
        for label, by_column in times.items()
        for column, time in by_column.items()
    ]
    headings = ("change", "way, mapping", "followed after, s", "target", "held, %")
    notes = (
        "held: of the time from then on",
        "weights and rate: every flow within 10 % of what it should have, over 2 s",
        "outage: the bottleneck 80 % used, over 0.2 s",
    )
    return Table("Changes", headings, tuple(rows), notes if rows else ())


def undisturbed(records: Sequence[Record]) -> Table:
    """The same cells in labs that ran alone, and in labs that ran side by side."""
    rows = [
        (f"{label}; {group}", *cells)
        for group in (ALONE, TOGETHER)
        for label, _, cells in _figures(records, group, of_result, _UNDISTURBED)
    ]
    headings = ("cell; labs", *(heading for heading, *_ in _UNDISTURBED))
    return Table("Labs alone and side by side", headings, tuple(rows))


def costs(records: Sequence[Record]) -> Table:
    """CPU time and goodput of our transport and of the others."""
    rows = tuple((label, *cells) for label, _, cells in _figures(records, "cost", of_cost, _COSTS))
    headings = ("what", *(heading for heading, *_ in _COSTS))
    return Table("Cost", headings, rows, tuple(_unsupported(records, "cost")))


def _figures(
    records: Sequence[Record], group: str, of: Callable[[str], Reading], shown: Sequence[Heading]
) -> Iterator[tuple[str, Column, tuple[str, ...]]]:
    """For each experiment of a group, and each way and mapping it was measured with: a cell for each
    column."""
    found = [(table(records, group, of(name)), scale) for _, name, scale in shown]
    for label, by_column in found[0][0].items():
        for column in by_column:
            yield (
                label,
                column,
                tuple(spread(figures.get(label, {}).get(column), scale) for figures, scale in found),
            )


def _unsupported(records: Iterable[Record], group: str) -> list[str]:
    found = {
        (one.experiment.label, one.unsupported)
        for one in records
        if one.experiment.group == group and one.unsupported is not None
    }
    return [f"UNSUPPORTED here: {label}: {reason}" for label, reason in sorted(found)]


def _columns(rows: Iterable[dict[Column, Spread]]) -> list[Column]:
    """Simulated before real, each mapping once."""
    return sorted({column for row in rows for column in row}, key=lambda one: (one[0] == "real", one[1]))


def _name(column: Column) -> str:
    way, mapping = column
    return f"{way}, {mapping}"
