"""Traces: the rate, delay and loss of a link over time. They are read from files and replayed on a link.

In Mahimahi's format (Netravali et al., USENIX ATC 2015) each line is a whole number: the time in milliseconds
at which one packet of 1500 bytes may pass. A number that is repeated stands for several packets.

A CSV file has a header, ``time_s`` and then one or more of ``rate_bps``, ``delay_s`` and ``loss``. Its rows
have growing times, the first 0. A row holds until the next one, and the last one only ends the trace.

An error in a file names the file and the line.
"""

from __future__ import annotations

import asyncio
import codecs
import csv
import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from netns.errors import SpecError
from netns.planning import changed_shape
from netns.qdiscs import Gate
from netns.spec import ETHERNET_HEADER_BYTES, MAX_DELAY_S, RATE_RANGE_BPS, Direction, Shape

if TYPE_CHECKING:
    from netns.engine import BuiltLab, Schedule

MAHIMAHI_PACKET_BYTES = 1500
INTERVAL_S = 0.1
"""The packets of a Mahimahi trace are averaged to a rate over intervals of about this length."""
_LONG_FRAME_S, _MUCH_HIGHER = 0.005, 1.5
"""``steps`` holds a link before its rate becomes so many times as high, and before an outage, if a frame
takes longer than this."""
_OPENING_S = 0.02
"""How long the gate counts as opening. After this time a busy link has used up the burst."""
_FRAME_BITS = 8 * (MAHIMAHI_PACKET_BYTES + ETHERNET_HEADER_BYTES)
_COLUMNS = ("time_s", "rate_bps", "delay_s", "loss")
_LONGEST_S = 86_400.0
_MOST_DIGITS = len(str(int(_LONGEST_S * 1e3)))
_SHOWN = 40
"""Characters of a wrong line that its message repeats."""


@dataclass(frozen=True, slots=True)
class TracePoint:
    """The values from ``time_s`` on. None leaves the link's own value; a rate of 0 is an outage."""

    time_s: float
    rate_bps: float | None = None
    delay_s: float | None = None
    loss: float | None = None

    def changes(self, idle_bps: float) -> dict[str, object]:
        """The fields of a ``Shape`` that it changes.

        In an outage nothing leaves the queue, whose length still follows from a rate: then from ``idle_bps``.
        """
        changes: dict[str, object] = {}
        if self.rate_bps is not None:
            # A stretched trace may have rates below the least rate of a link.
            changes["rate_bps"] = max(RATE_RANGE_BPS[0], self.rate_bps or idle_bps)
        if self.delay_s is not None:
            changes["delay_s"] = self.delay_s
        if self.loss is not None:
            changes["loss"] = self.loss
        return changes


@dataclass(frozen=True, slots=True)
class Trace:
    """Points in the order of their times, the first at 0, and the duration in seconds."""

    points: tuple[TracePoint, ...]
    duration_s: float

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Reads a file: as CSV if its name ends in ``.csv``, else in Mahimahi's format. Raises:
        ``SpecError``."""
        path = Path(path)
        try:
            text = _decoded(path.read_bytes())
        except (OSError, ValueError) as error:
            raise SpecError(f"{path}: cannot be read: {error}") from error
        return parse_csv(text, str(path)) if path.suffix == ".csv" else parse_mahimahi(text, str(path))

    def settings(self) -> Iterator[TracePoint]:
        """The points that differ in more than their time, once each."""
        seen = {(point.rate_bps, point.delay_s, point.loss): point for point in self.points}
        return iter(seen.values())

    @property
    def mean_rate_bps(self) -> float:
        """The average rate over the duration of the trace, for a trace that gives rates."""
        return self.bits_until(self.duration_s) / self.duration_s

    @property
    def impairs(self) -> bool:
        """True if the trace also sets delay or loss. Only a link with impairments can follow such a trace
        (see ``LinkSpec.live_impairments``)."""
        return any(point.delay_s is not None or point.loss is not None for point in self.points)

    def stretched(self, factor: float) -> Trace:
        """The same trace, ``factor`` times slower: times and delays are multiplied by it, rates divided."""
        points = (
            TracePoint(
                point.time_s * factor,
                None if point.rate_bps is None else point.rate_bps / factor,
                None if point.delay_s is None else point.delay_s * factor,
                point.loss,
            )
            for point in self.points
        )
        return Trace(tuple(points), self.duration_s * factor)

    def bits_until(self, time_s: float, *, loop: bool = True) -> float:
        """The bits that a link with this trace can carry within ``time_s`` seconds of its beginning. After
        its end the trace begins again, or without ``loop`` goes on at its last rate."""
        turns, rest_s = divmod(time_s, self.duration_s) if loop else (0.0, time_s)
        ends = [*(point.time_s for point in self.points[1:]), self.duration_s if loop else math.inf]

        def first(end_s: float) -> float:
            return sum(
                (point.rate_bps or 0.0) * max(0.0, min(end, end_s) - point.time_s)
                for point, end in zip(self.points, ends, strict=True)
            )

        return (turns * first(self.duration_s) if turns else 0.0) + first(rest_s)


def _decoded(raw: bytes) -> str:
    """Text as editors and shells of all systems write it: UTF-8, or UTF-16 with its mark. Raises
    ``ValueError``."""
    return raw.decode("utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")


def parse_mahimahi(text: str, name: str, interval_s: float = INTERVAL_S) -> Trace:
    """Reads Mahimahi's format and averages it over intervals of about ``interval_s``. ``name`` is the file's
    name for error messages. Raises: ``SpecError`` with file and line."""
    times_ms: list[int] = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line:
            continue
        # isdigit alone also takes digits such as "²", which int refuses.
        if not (line.isascii() and line.isdigit()):
            raise SpecError(f"{name}:{number}: {_short(line)} is not a whole number of milliseconds")
        # Compared by length first: int refuses thousands of digits.
        if len(line.lstrip("0")) > _MOST_DIGITS:
            raise SpecError(f"{name}:{number}: {_short(line)} ms is over a day")
        time_ms = int(line.lstrip("0") or "0")
        if times_ms and time_ms < times_ms[-1]:
            raise SpecError(f"{name}:{number}: {time_ms} ms comes after {times_ms[-1]} ms")
        if time_ms > _LONGEST_S * 1e3:
            raise SpecError(f"{name}:{number}: {time_ms} ms is over a day")
        times_ms.append(time_ms)
    if not times_ms:
        raise SpecError(f"{name}: there is no time in it")
    if times_ms[-1] == 0:
        raise SpecError(f"{name}:{len(times_ms)}: a trace must last for more than 0 ms")
    duration_s = times_ms[-1] / 1e3
    # Whole intervals, so that the bounds of seconds are bounds of intervals. The last one takes the rest, and
    # is no shorter than half of the others.
    count = max(1, round(duration_s / interval_s))
    # A packet at the very end belongs to the last interval.
    chances = Counter(min(count - 1, int(time_ms // (1e3 * interval_s))) for time_ms in times_ms)
    bounds_s = [*(index * interval_s for index in range(count)), duration_s]
    points = (
        TracePoint(start_s, chances[index] * _FRAME_BITS / (end_s - start_s))
        for index, (start_s, end_s) in enumerate(pairwise(bounds_s))
    )
    return Trace(tuple(_merged(points)), duration_s)


def _merged(points: Iterator[TracePoint]) -> Iterator[TracePoint]:
    """Leaves out points that change nothing."""
    before: TracePoint | None = None
    for point in points:
        if before is None or point.rate_bps != before.rate_bps:
            yield point
            before = point


def parse_csv(text: str, name: str) -> Trace:
    """Reads CSV as the module's first lines describe it. Raises: ``SpecError`` with file and line."""
    lines = text.splitlines()
    header = [column.strip() for column in _cells(lines[0], f"{name}:1")] if lines else []
    if header[:1] != ["time_s"] or len(header) < 2 or not set(header) <= set(_COLUMNS):
        raise SpecError(f"{name}:1: the header must be time_s and some of {', '.join(_COLUMNS[1:])}")
    if len(set(header)) < len(header):
        raise SpecError(f"{name}:1: a column is there twice")
    points: list[TracePoint] = []
    # Line by line rather than with one csv.reader, so that the number of a line is that of the file.
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        point = _csv_point(header, _cells(line, f"{name}:{number}"), f"{name}:{number}")
        if not points and point.time_s != 0:
            raise SpecError(f"{name}:{number}: the first row must be at time 0, not {point.time_s:g}")
        if points and point.time_s <= points[-1].time_s:
            raise SpecError(f"{name}:{number}: time {point.time_s:g} s does not come after the one before")
        points.append(point)
    if len(points) < 2:
        raise SpecError(f"{name}:{len(lines)}: a trace needs two rows: the last one ends it")
    return Trace(tuple(points[:-1]), points[-1].time_s)


def _cells(line: str, where: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:  # such as a cell of a hundred thousand characters
        raise SpecError(f"{where}: {error}") from None


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")


def _csv_point(header: list[str], cells: list[str], where: str) -> TracePoint:
    if len(cells) != len(header):
        raise SpecError(f"{where}: {len(cells)} values under {len(header)} columns")
    values = {}
    for column, cell in zip(header, cells, strict=True):
        try:
            value = float(cell)
        except ValueError:
            raise SpecError(f"{where}: {column}: {_short(cell.strip())} is not a number") from None
        low, high = _limits(column)
        # A rate of 0 is outside a link's range but stands for an outage.
        if not math.isfinite(value) or not (low <= value <= high or (column == "rate_bps" and value == 0)):
            raise SpecError(f"{where}: {column}={value:g} is outside {low:g} to {high:g}")
        values[column] = value
    return TracePoint(**values)


def _limits(column: str) -> tuple[float, float]:
    return {
        "time_s": (0.0, _LONGEST_S),
        "rate_bps": RATE_RANGE_BPS,
        "delay_s": (0.0, MAX_DELAY_S),
        "loss": (0.0, 1.0),
    }[column]


@dataclass(frozen=True, slots=True)
class TraceStep:
    """From ``time_s`` on, the link has the values of ``point`` and its gate is as given."""

    time_s: float
    point: TracePoint
    gate: Gate


def steps(trace: Trace, frame_bytes: int, *, loop: bool) -> Iterator[TraceStep]:
    """The steps that replay a trace on a link whose longest frame has ``frame_bytes`` bytes.

    The rate limit charges a frame when it leaves, for the time that it takes at the rate of that moment. A
    frame that leaves just before a much higher rate begins would keep the link closed far into it: a frame at
    121 kbit/s takes 100 ms. So the link is held for half of a frame's time before that moment, and before an
    outage, which may begin a little late. On a busy link the frames leave at equal distances from the point's
    beginning, and the hold meets none of them but the one too many.
    """
    points = trace.points
    # Without a loop nothing follows the last point: its rate stays.
    followings = (*points[1:], points[0] if loop else points[-1])
    ends = (*(point.time_s for point in points[1:]), trace.duration_s)
    holds = [_hold_s(*each, 8 * frame_bytes) for each in zip(points, followings, ends, strict=True)]
    was_held = loop and holds[-1] < ends[-1]
    for point, end_s, hold_s in zip(points, ends, holds, strict=True):
        if hold_s > point.time_s:
            yield TraceStep(point.time_s, point, "opening" if was_held else "open")
            opened_s = point.time_s + _OPENING_S
            if was_held and opened_s < hold_s:
                yield TraceStep(opened_s, point, "open")
        was_held = hold_s < end_s
        if was_held:
            yield TraceStep(hold_s, point, "held")


def _hold_s(point: TracePoint, following: TracePoint, end_s: float, frame_bits: int) -> float:
    """The time within a point's stretch from which on nothing may pass; ``end_s`` if there is none."""
    if point.rate_bps is None:
        return end_s
    if point.rate_bps == 0:
        return point.time_s
    frame_s = frame_bits / point.rate_bps
    next_bps = point.rate_bps if following.rate_bps is None else following.rate_bps
    if frame_s > _LONG_FRAME_S and (next_bps == 0 or next_bps > _MUCH_HIGHER * point.rate_bps):
        return max(point.time_s, end_s - frame_s / 2)
    return end_s


class Playback:
    """A trace that is being replayed on one direction of a link."""

    def __init__(self, trace: Trace, loop: bool, start_s: float, apply: _Apply, schedule: Schedule) -> None:
        self._trace, self._loop, self._apply, self._schedule = trace, loop, apply, schedule
        self._steps = tuple(steps(trace, apply.frame_bytes, loop=loop))
        self._start = schedule.now() - start_s
        # The step that holds now: its turn through the trace and its index, -1 before a turn's first step.
        self._turn, self._index = 0, -1
        self._done: Future[None] = Future()
        self._next: Future[None] = schedule.call(self._step)

    async def ended(self) -> None:
        """Waits until the trace ends or is stopped. Raises the error if a point could not be applied."""
        await asyncio.shield(asyncio.wrap_future(self._done))

    async def stop(self) -> None:
        """Stops the trace. The link keeps the values of the last point."""
        await asyncio.wrap_future(self._schedule.call(self._finish))

    @property
    def position_s(self) -> float:
        """The time within the trace, in seconds."""
        return (self._schedule.now() - self._start) % self._trace.duration_s

    def _finish(self) -> None:
        self._next.cancel()
        if self._done.done():
            return
        try:
            self._settle()
        except BaseException as error:
            self._done.set_exception(error)
        else:
            self._done.set_result(None)

    def _settle(self) -> None:
        """Leaves the link with the values of the last point, an outage included, but not in a hold before the
        next point, which never comes."""
        step = self._steps[min(self._index, len(self._steps) - 1)]
        gate: Gate = "held" if step.point.rate_bps == 0 else "open"
        if step.gate != gate:
            self._apply(replace(step, gate=gate))

    def _step(self) -> None:
        """Applies the latest step that is due and schedules the next one."""
        if self._done.done():
            return
        now = self._schedule.now()
        # A schedule that is late skips steps, rather than applying them late one by one.
        while self._due(self._turn, self._index + 1) <= now:
            self._index += 1
            if self._index == len(self._steps):  # the end of the trace
                self._turn, self._index = self._turn + 1, -1
                if not self._loop:
                    self._finish()
                    return
        # It is -1 only if rounding puts the end of a turn just before the beginning of the next one.
        if self._index >= 0:
            try:
                self._apply(self._steps[self._index])
            except BaseException as error:
                self._done.set_exception(error)
                return
        self._next = self._schedule.call(self._step, self._due(self._turn, self._index + 1))
        self._next.add_done_callback(self._scheduled)

    def _scheduled(self, step: Future[None]) -> None:
        if step.cancelled() and not self._done.done():  # the lab was closed
            self._done.set_result(None)

    def _due(self, turn: int, index: int) -> float:
        # Counted from the start and not from the point before, so that lateness does not add up.
        steps = self._steps
        offset = steps[index].time_s if index < len(steps) else self._trace.duration_s
        return self._start + turn * self._trace.duration_s + offset


class _Apply:
    """Carries out the steps of a trace on one direction of a link."""

    def __init__(self, built: BuiltLab, link: str, direction: Direction, mean_bps: float) -> None:
        self._built, self._link, self._direction, self._mean_bps = built, link, direction, mean_bps
        self.frame_bytes = built.plan.mtu_bytes + ETHERNET_HEADER_BYTES

    def __call__(self, step: TraceStep) -> None:
        # A point without a rate leaves the outage before it alone, as it leaves the rate.
        gate = None if step.point.rate_bps is None else step.gate
        self._built.set_shapes(self._link, {self._direction: self.shape(step.point)}, gate=gate)

    def shape(self, point: TracePoint) -> Shape:
        """The shape that the direction gets. Raises: ``SpecError`` if no link can have it."""
        own = self._built.own_shape(self._link, self._direction)
        return changed_shape(own, point.changes(own.rate_bps or self._mean_bps))


def play(
    trace: Trace,
    link: str,
    direction: Direction,
    *,
    loop: bool,
    start_s: float,
    built: BuiltLab,
    schedule: Schedule,
) -> Playback:
    """Starts to replay a trace; see ``Link.replay``. Raises: ``SpecError``, ``CapabilityError``."""
    if not 0 <= start_s < trace.duration_s:
        raise SpecError(f"a trace of {trace.duration_s:g} s cannot begin at {start_s:g} s")
    apply = _Apply(built, link, direction, trace.mean_rate_bps)
    # A point that the link cannot have is refused now, rather than in the middle of the trace.
    for point in trace.settings():
        built.check_shape(link, direction, apply.shape(point))
    return Playback(trace, loop, start_s, apply, schedule)
