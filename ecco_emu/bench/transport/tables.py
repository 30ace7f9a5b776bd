"""What was measured as tables of text, for the terminal and as Markdown. Pure."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ecco_emu.bench.transport.experiment import Mapping
from ecco_emu.bench.transport.matrix import Point, full, in_order
from ecco_emu.bench.transport.records import (
    Column,
    Record,
    Spread,
    difference,
    of_cost,
    of_result,
    reached,
    table,
)
from ecco_emu.bench.transport.run import ALONE, TOGETHER
from ecco_emu.bench.transport.situations import RESPONSE_TARGETS_S
from ecco_emu.bench.transport.targets import SHARE_ERROR, judged, judged_mapping

MANY_CELLS = 40
"""Of more, only those are listed that are worth a look."""
LATE_S = 0.01
"""As long as the shortest round trip: flows on a loop this late show the host, not the transport."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells of text; the first column is a name."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def markdown(tables: Iterable[Table]) -> str:
    """The tables as Markdown, each under its title."""
    return "\n".join(line for one in tables for line in _markdown_lines(one))


def _markdown_lines(one: Table) -> Iterator[str]:
    yield f"### {one.title}"
    yield ""
    yield f"| {' | '.join(one.headings)} |"
    yield f"|{'|'.join('---' if not index else '---:' for index in range(len(one.headings)))}|"
    for row in one.rows:
        yield f"| {' | '.join(row)} |"
    yield ""
    for note in one.notes:
        yield f"- {note}"
    if one.notes:
        yield ""


def all_tables(records: Sequence[Record]) -> list[Table]:
    """Every table for which something was measured."""
    made = (
        reach(records),
        shares_by_axis(records),
        shares(records),
        fig11(records),
        convergence(records),
        undisturbed(records),
        costs(records),
    )
    return [one for one in made if one.rows or one.notes]


def reach(records: Sequence[Record]) -> Table:
    """Targets, and whether they were met."""
    rows = [
        (
            one.what,
            f"{_number(one.value)} {one.unit}",
            f"{'≥' if one.at_least else '≤'} {_number(one.limit)} {one.unit}",
            "yes" if one.met else "no",
        )
        for one in judged(records)
    ]
    return Table("Targets", ("what", "measured", "target", "met"), tuple(rows))


def shares_by_axis(records: Sequence[Record]) -> Table:
    """Simulated share errors, of many cells: how many hold, for each value of each axis."""
    found = table(records, "shares", of_result("share_error"))
    columns = [column for column in _columns(found.values()) if column[0] == "simulated"]
    points = [point for point in sorted(full(), key=lambda one: len(one.weights)) if point.label in found]
    if len(points) <= MANY_CELLS:
        points = []

    def row(name: str, some: Iterable[Point]) -> tuple[str, ...]:
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
    medians = [spread.median for spread in spreads]
    if not medians:
        return "–", "–", "–"
    within = sum(value <= SHARE_ERROR for value in medians)
    return (
        f"{within} of {len(medians)}",
        _number(100 * statistics.median(medians)),
        _number(100 * max(medians)),
    )


def shares(records: Sequence[Record]) -> Table:
    """Share errors over the matrix, a row for each cell; of many, for those that were measured on real links
    too and those whose shares do not hold."""
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
        (label, *(_spread(shown[label].get(column), 100) for column in columns)) for label in in_order(shown)
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
        f"median cell {_spread(Spread.of(medians), 100)} %"
    )


def _late(records: Iterable[Record]) -> list[str]:
    """On a host with too much else to do, real links show that and not the transport."""
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


def _difference_note(records: Sequence[Record], mapping: Mapping) -> list[str]:
    gap = difference(records, mapping)
    if gap is None:
        return []
    return [
        f"{mapping}, simulated against real in {gap.cells} cells: the largest difference of a flow's share, "
        f"relative to its weighted share, is {gap.median * 100:.2g} % in the median cell and "
        f"{gap.most * 100:.2g} % in the worst"
    ]


_FIG11: tuple[tuple[str, str, float], ...] = (
    ("share error, %", "share_error", 100),
    ("used, %", "utilisation", 100),
    ("loss, %", "loss", 100),
    ("queue mean, ms", "queue_mean_s", 1e3),
    ("p95, ms", "queue_p95_s", 1e3),
    ("most, ms", "queue_max_s", 1e3),
)


def fig11(records: Sequence[Record]) -> Table:
    """Figure 11's situation: errors of the flows that are not capped, and how the bottleneck fares."""
    figures = [table(records, "fig11", of_result(name)) for _, name, _ in _FIG11]
    rows = [
        (
            f"{label}; {_name(column)}",
            *(
                _spread(found[label][column], scale)
                for found, (_, _, scale) in zip(figures, _FIG11, strict=True)
            ),
        )
        for label, by_column in figures[0].items()
        for column in by_column
    ]
    notes = ["wanted: share error ≤ 5 %, bottleneck ≥ 95 % used, queue below its length, loss ≤ 2 %"]
    return Table(
        "Two flows capped by their own uplinks (fig11)",
        ("cell; way, mapping", *(name for name, *_ in _FIG11)),
        tuple(rows),
        tuple(notes if rows else _unsupported(records, "fig11")),
    )


def convergence(records: Sequence[Record]) -> Table:
    """How soon flows followed a change, and how well they held it."""
    times = table(records, "convergence", reached)
    held = table(records, "convergence", lambda one: one.response.held if one.response else None)
    kinds = {one.experiment.label: one.response.of for one in records if one.response is not None}
    rows = [
        (
            label,
            _name(column),
            _spread(spread, 1),
            f"≤ {RESPONSE_TARGETS_S[kinds[label]]:g}",
            _spread(held[label][column], 100),
        )
        for label, by_column in times.items()
        for column, spread in by_column.items()
    ]
    headings = ("change", "way, mapping", "followed after, s", "target", "held, %")
    notes = (
        "held: of the time from then on",
        "weights and rate: every flow within 10 % of what it should have, over 2 s",
        "outage: the bottleneck 80 % used, over 0.2 s",
    )
    return Table("Changes", headings, tuple(rows), notes if rows else ())


def undisturbed(records: Sequence[Record]) -> Table:
    """The same cells on labs alone and side by side."""
    shown = (
        ("share error, %", "share_error", 100),
        ("used, %", "utilisation", 100),
        ("loss, %", "loss", 100),
        ("loop lag p99, ms", "lag_p99_s", 1e3),
    )
    rows = []
    for group in (ALONE, TOGETHER):
        found = [table(records, group, of_result(name)) for _, name, _ in shown]
        rows += [
            (
                f"{label}; {group}",
                *(
                    _spread(figures[label].get(column), scale)
                    for figures, (_, _, scale) in zip(found, shown, strict=True)
                ),
            )
            for label, by_column in found[0].items()
            for column in by_column
        ]
    headings = ("cell; labs", *(name for name, *_ in shown))
    return Table("Labs alone and side by side", headings, tuple(rows))


_COSTS: tuple[tuple[str, str, float], ...] = (
    ("goodput, Mbit/s", "goodput_bps", 1e-6),
    ("CPU, % of a core", "cpu", 100),
    ("of it kernel, %", "system", 100),
    ("µs per packet", "us_per_packet", 1),
    ("Mbit per CPU second", "goodput_per_cpu_bps", 1e-6),
    ("loop lag p50, ms", "lag_p50_s", 1e3),
    ("p99, ms", "lag_p99_s", 1e3),
)


def costs(records: Sequence[Record]) -> Table:
    """CPU and goodput, ours and others'."""
    figures = [table(records, "cost", of_cost(name)) for _, name, _ in _COSTS]
    rows = []
    for label, by_column in figures[0].items():
        column = next(iter(by_column))
        rows.append(
            (
                label,
                *(
                    _spread(found.get(label, {}).get(column), scale)
                    for found, (_, _, scale) in zip(figures, _COSTS, strict=True)
                ),
            )
        )
    headings = ("what", *(name for name, *_ in _COSTS))
    return Table("Cost", headings, tuple(rows), tuple(_unsupported(records, "cost")))


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


def _spread(spread: Spread | None, scale: float) -> str:
    """``median (least to most)``, without the spread for a single run."""
    if spread is None:
        return "–"
    median, least, most = (_number(value * scale) for value in (spread.median, spread.least, spread.most))
    return median if spread.runs == 1 else f"{median} ({least} to {most})"


def _number(value: float) -> str:
    if math.isinf(value):
        return "never"
    size = abs(value)
    return (
        f"{value:.0f}"
        if size >= 100
        else f"{value:.1f}"
        if size >= 10
        else f"{value:.{3 if size >= 1 else 2}g}"
    )
