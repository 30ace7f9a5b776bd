"""Tables, a picture and a sentence of what runs cost by their number of cameras. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise

from ecco_emu.bench.scale.running import CostPoint
from ecco_emu.bench.scale.sampling import PARTS
from ecco_emu.report import palette
from ecco_emu.study.tables import NOTHING, Table, number

MIB = 2**20
ELSEWHERE = "threads, processes"
"""Processor time beside the event loop's thread: pools, the relay, what the kernel does for them."""
LINEAR = 1.15
"""A cost that grows with at most this power of the cameras counts as proportional to them."""


def tables(points: Sequence[CostPoint], title: str, notes: Iterable[str] = ()) -> list[Table]:
    """The cost, and its parts: a row for each number of cameras on each engine."""
    whole = tuple(
        (
            _name(point),
            str(point.streaming),
            f"{number(point.goodput_bps / 1e6)}",
            number(point.cpu_s),
            number(1 / point.wall_s),
            number(point.start_s),
            f"{point.rss_bytes / MIB:.0f}",
        )
        for point in points
    )
    headings = ("cameras", "streaming", "Mbit/s", "CPU s per s", "s per wall s", "start, CPU s", "MiB")
    parts = tuple((_name(point), *(_part(point, part) for part in (*PARTS, ELSEWHERE))) for point in points)
    return [
        Table(title, headings, whole, (*notes, *(filter(None, [bound(points)])))),
        Table("CPU seconds per emulated second, by part", ("cameras", *PARTS, ELSEWHERE), parts),
    ]


def by_part(point: CostPoint) -> dict[str, float]:
    """CPU seconds per emulated second by part; together they are the whole."""
    elsewhere = max(0.0, point.cpu_s - math.fsum(point.parts.values()))
    return {**point.parts, ELSEWHERE: elsewhere}


def bound(points: Sequence[CostPoint]) -> str:
    """One sentence on what bounds a simulated run, from the largest that was measured; empty without any."""
    simulated = sorted((one for one in points if one.engine == "simulated"), key=lambda one: one.cameras)
    if not simulated:
        return ""
    largest = simulated[-1]
    parts = by_part(largest)
    dearest = max(parts, key=lambda part: parts[part])
    share = parts[dearest] / largest.cpu_s
    return (
        f"What bounds a simulated run is {dearest}: {share:.0%} of the processor time with {largest.cameras} "
        f"cameras, of {largest.cpu_s * 1e3 / largest.cameras:.1f} ms a camera and second"
        f"{_growth(simulated)}, so at most {number(1 / largest.cpu_s)} emulated seconds a second on a core."
    )


def _growth(simulated: Sequence[CostPoint]) -> str:
    """How the cost grows from the smallest to the largest: its exponent, from their logarithms."""
    if len(simulated) < 2:
        return ""
    first, last = simulated[0], simulated[-1]
    power = math.log(last.cpu_s / first.cpu_s) / math.log(last.cameras / first.cameras)
    if power <= LINEAR:
        return ", in proportion to the cameras or less"
    return f", growing with the power {power:.2f} of the cameras"


def picture(points: Sequence[CostPoint]) -> str:
    """An SVG document: CPU seconds per emulated second against cameras, both logarithmic, a line an engine.

    A dashed line marks the cost at which one core keeps pace with the wall's clock.
    """
    width, height, left, top, wide, high = 460, 300, 64, 34, 360, 210
    across = _decades(point.cameras for point in points)
    up = _decades(point.cpu_s for point in points)

    def x(cameras: float) -> float:
        return left + wide * (math.log10(cameras) - across[0]) / (across[1] - across[0])

    def y(cost: float) -> float:
        return top + high * (1 - (math.log10(cost) - up[0]) / (up[1] - up[0]))

    body = [_text(left, 20, "CPU seconds per emulated second, against cameras")]
    for power in range(across[0], across[1] + 1):
        at = x(10**power)
        body += [_line(at, top, at, top + high), _text(at, top + high + 18, f"{10**power}", "middle")]
    for power in range(up[0], up[1] + 1):
        at = y(10**power)
        body += [_line(left, at, left + wide, at), _text(left - 8, at + 4, f"{10.0**power:g}", "end")]
    if up[0] <= 0 <= up[1]:
        body.append(_line(left, y(1), left + wide, y(1), palette.BAD, "stroke-dasharray='4 4'"))
    for index, engine in enumerate(("simulated", "real")):
        colour = palette.RUNS[index]
        places = sorted((one.cameras, one.cpu_s) for one in points if one.engine == engine)
        for before, after in pairwise(places):
            body.append(
                _line(x(before[0]), y(before[1]), x(after[0]), y(after[1]), colour, "stroke-width='2'")
            )
        body += [
            f"<circle cx='{x(cameras):.1f}' cy='{y(cost):.1f}' r='3' fill='{colour}'/>"
            for cameras, cost in places
        ]
        if places:
            body.append(_text(left + 12, top + 18 + 16 * index, engine, colour=colour))
    head = f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
    font = "font-family='system-ui, sans-serif' font-size='12'>"
    return "\n".join((head + font, "<rect width='100%' height='100%' fill='#ffffff'/>", *body, "</svg>", ""))


def _decades(values: Iterable[float]) -> tuple[int, int]:
    """The powers of ten around the values, a decade apart at least."""
    logs = [math.log10(value) for value in values]
    low = math.floor(min(logs))
    return low, max(low + 1, math.ceil(max(logs)))


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = palette.INK) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='{colour}'>{escape(text)}</text>"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = palette.GRID, more: str = "") -> str:
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}' {more}/>"


def _name(point: CostPoint) -> str:
    slowed = f", dilation {point.dilation:g}" if point.dilation != 1 else ""
    return f"{point.cameras} {point.engine}{slowed}"


def _part(point: CostPoint, part: str) -> str:
    found = by_part(point).get(part)
    return NOTHING if found is None else number(found)
