"""Pictures of results, as SVG for pages of documentation. Pure.

The SVG is written here, element by element: a heat map and a few lines are short, and plotly would need a
browser to write a picture.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from html import escape

from ecco_emu.bench.transport.experiment import HEADERS_BYTES, PACKET_BYTES
from ecco_emu.bench.transport.matrix import QUEUES_S, RATES_BPS, MatrixPoint, full
from ecco_emu.bench.transport.records import Column, Record, of_result, table
from ecco_emu.report import palette

_FONT = "font-family='system-ui, sans-serif' font-size='12'"
_SHADES = ((0.0, (56, 142, 110)), (0.05, (190, 214, 160)), (0.2, (244, 208, 111)), (1.0, (198, 64, 75)))
"""Colours of share errors. The colour of an error between two of these is a mixture."""
_SIZE = (420, 190)
"""Width and height of a panel of lines, in pixels."""


def pictures(records: Sequence[Record]) -> dict[str, str]:
    """SVG documents by name. A picture without any result is absent."""
    drawn = {}
    simulated = [one for one in records if one.way == "simulated"]
    errors = table(simulated, "shares", of_result("share_error"))
    points = {point: errors[point.label] for point in full() if point.label in errors}
    if points:
        medians = {
            point: {column: spread.median for column, spread in row.items()} for point, row in points.items()
        }
        drawn["transport-shares"] = share_map(medians)
    changes = [one for one in records if one.response is not None and one.experiment.cell.seed == 0]
    if changes:
        drawn["transport-convergence"] = courses(changes)
    return drawn


def share_map(errors: dict[MatrixPoint, dict[Column, float]]) -> str:
    """Share errors of the simulated cells as a heat map: a row for each mapping, weights and number of flows,
    a column for each rate and queue. A tile shows the worst over round trips and losses.

    ``errors``: of each cell, the median over repetitions.
    """
    found: dict[str, dict[tuple[float, float], float]] = {}
    for mapping in sorted({mapping for row in errors.values() for _, mapping in row}):
        for point, row in errors.items():
            if ("simulated", mapping) in row:
                name = f"{mapping}: {', '.join(point.values[:2])}"
                tiles, place = found.setdefault(name, {}), (point.rate_bps, point.queue_s)
                tiles[place] = max(tiles.get(place, 0.0), row["simulated", mapping])
    places = list(itertools.product(RATES_BPS, QUEUES_S))
    names = [f"{rate / 1e6:g} Mbit/s, {queue * 1e3:g} ms" for rate, queue in places]
    rows = {name: [tiles.get(place) for place in places] for name, tiles in found.items()}
    return _heat_map("share error, worst of a tile's cells, %", names, rows, left=190)


def _heat_map(title: str, names: Sequence[str], rows: dict[str, list[float | None]], left: float) -> str:
    """Tiles with values in per cent, under slanted column names. ``left``: the width of the rows' names,
    pixels."""
    wide, high, top = 46, 20, 150
    body = [
        _text(left + wide * (index + 0.6), top - 8, name, turned=True) for index, name in enumerate(names)
    ]
    for line, (row, values) in enumerate(rows.items()):
        y = top + high * line
        body.append(_text(left - 8, y + 14, row, anchor="end"))
        for index, value in enumerate(values):
            if value is not None:
                body += _tile(left + wide * index, y, wide, high, value)
    body.append(_text(8, 16, title, anchor="start"))
    return _document(left + wide * len(names) + 90, top + high * len(rows) + 10, body)


def _tile(x: float, y: float, wide: float, high: float, error: float) -> list[str]:
    return [
        f"<rect x='{x}' y='{y}' width='{wide - 1}' height='{high - 1}' fill='{_shade(error)}'/>",
        _text(x + wide / 2, y + 14, f"{error * 100:.0f}", anchor="middle"),
    ]


def _shade(error: float) -> str:
    """A colour for a share error."""
    for (low, start), (high, end) in itertools.pairwise(_SHADES):
        if error <= high:
            part = (error - low) / (high - low)
            mixed = (round(a + (b - a) * part) for a, b in zip(start, end, strict=True))
            return "#{:02x}{:02x}{:02x}".format(*mixed)
    return "#{:02x}{:02x}{:02x}".format(*_SHADES[-1][1])


def courses(changes: Iterable[Record]) -> str:
    """Each flow's rate before and after each change: a row of panels for each change, a panel for each way
    and mapping."""
    rows: dict[str, dict[Column, Record]] = {}
    for record in changes:
        column: Column = (record.way, record.experiment.cell.mapping)
        rows.setdefault(record.experiment.label, {}).setdefault(column, record)
    columns = sorted({column for row in rows.values() for column in row})
    width, height = _SIZE
    body = []
    for line, (label, row) in enumerate(rows.items()):
        for index, column in enumerate(columns):
            if column in row:
                title = f"{label}; {column[0]}, {column[1]}"
                body += _panel(row[column], title, index * width, line * height)
    return _document(width * len(columns), height * len(rows), body)


def _panel(record: Record, title: str, left: float, top: float) -> list[str]:
    response = record.response
    assert response is not None
    width, height = _SIZE
    x0, y0, w, h = left + 46, top + 28, width - 62, height - 60
    times = response.t_s
    first, last = max(times[0], -10.0), times[-1]
    most = max((max(row) for row in response.rates_bps), default=1.0) or 1.0

    def x(t: float) -> float:
        return x0 + w * (t - first) / (last - first)

    def y(rate: float) -> float:
        return y0 + h * (1 - rate / most)

    body = [
        _text(x0, top + 18, title, anchor="start"),
        f"<rect x='{x0}' y='{y0}' width='{w}' height='{h}' fill='none' stroke='{palette.GRID}'/>",
        f"<line x1='{x(0):.1f}' y1='{y0}' x2='{x(0):.1f}' y2='{y0 + h}' stroke='{palette.BAD}' "
        "stroke-dasharray='3 3'/>",
        _text(x0 - 6, y0 + 10, f"{most / 1e6:.1f}", anchor="end"),
        _text(x0 - 6, y0 + 24, "Mbit/s", anchor="end"),
        _text(x0 - 6, y0 + h, "0", anchor="end"),
    ]
    body += [
        _text(x(mark), y0 + h + 16, f"{mark} s", anchor="middle")
        for mark in range(10 * math.ceil(first / 10), math.floor(last) + 1, 10)
    ]
    wanted = _wanted_bps(record)
    for index, rates in enumerate(response.rates_bps):
        path = " ".join(f"{x(t):.1f},{y(r):.1f}" for t, r in zip(times, rates, strict=True) if t >= first)
        colour = palette.CAMERAS[index % len(palette.CAMERAS)]
        if wanted:
            level = y(min(wanted[index], most))
            body.append(
                f"<line x1='{x(0):.1f}' y1='{level:.1f}' x2='{x0 + w}' y2='{level:.1f}' stroke='{colour}' "
                "stroke-dasharray='2 4'/>"
            )
        body.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='1.5'/>")
    return body


def _wanted_bps(record: Record) -> list[float]:
    """The goodput that each flow should have after the change. Empty after an outage, which leaves it as it
    was."""
    cell, change = record.experiment.cell, record.experiment.change
    if change is None or change.outage_s is not None:
        return []
    weights = change.weights or cell.weights
    payload_bps = (change.rate_bps or cell.rate_bps) * PACKET_BYTES / (PACKET_BYTES + HEADERS_BYTES)
    return [payload_bps * weight / sum(weights) for weight in weights]


def _text(x: float, y: float, text: str, *, anchor: str = "start", turned: bool = False) -> str:
    turn = f" transform='rotate(-60 {x:.1f} {y:.1f})'" if turned else ""
    place = f"x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'{turn}"
    return f"<text {place} fill='{palette.INK}'>{escape(text)}</text>"


def _document(width: float, height: float, body: Iterable[str]) -> str:
    head = f"<svg xmlns='http://www.w3.org/2000/svg' width='{width:.0f}' height='{height:.0f}' {_FONT}>"
    return "\n".join((head, "<rect width='100%' height='100%' fill='#ffffff'/>", *body, "</svg>", ""))
