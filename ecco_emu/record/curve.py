"""A camera's accuracy over time, from either of its two sources.

After a run, every student is measured on many frames of the weather in which the camera ran it
(``StudentMeasured``): that gives a curve of steps, which ``MeasuredCurve`` reads. While a run goes on, after
an interrupted one and in logs of earlier releases there are only glimpses (``Accuracy``): means over a few
newest frames, every few seconds, noisy and late by those seconds. ``GlimpsedCurve`` reads these.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Protocol

from ecco_emu.core import events as ev
from ecco_emu.record.series import between, latest

CurveLine = list[tuple[float, float | None, str]]
"""Points ``(t, mAP, student)`` to draw; at None the line is broken."""


class AccuracyCurve(Protocol):
    """A camera's accuracy, mAP from 0 to 1, as a function of emulated time. None: not measured."""

    def at(self, t: float) -> float | None:
        """The accuracy at ``t``; after the last measurement, that one's."""
        ...

    def mean(self, t0: float, t1: float) -> float | None:
        """The mean from ``t0`` up to ``t1``."""
        ...

    def lowest(self, t0: float, t1: float) -> float | None:
        """The lowest accuracy from ``t0`` to ``t1``, both included."""
        ...

    def reached(self, asked: float, until: float, threshold: float, in_a_row: int) -> float | None:
        """When, from ``asked`` up to ``until``, the accuracy was back at ``threshold``; None if it was not.

        It is ``asked`` itself where the accuracy was never below. ``in_a_row``: so many glimpses one after
        the other must be at the threshold, and the first of them tells the time.
        """
        ...

    def line(self) -> CurveLine:
        """The curve's points, in order of time."""
        ...


class GlimpsedCurve:
    """``AccuracyCurve`` from live measurements, which all count alike."""

    def __init__(self, glimpses: list[ev.Accuracy]) -> None:
        self._glimpses = glimpses

    def at(self, t: float) -> float | None:
        newest = latest(self._glimpses, t)
        return None if newest is None else newest.map

    def mean(self, t0: float, t1: float) -> float | None:
        values = [each.map for each in self._from(t0, t1)]
        return fmean(values) if values else None

    def lowest(self, t0: float, t1: float) -> float | None:
        return min((each.map for each in between(self._glimpses, t0, t1)), default=None)

    def reached(self, asked: float, until: float, threshold: float, in_a_row: int) -> float | None:
        after = self._from(asked, until)
        if not after:
            return None
        # a glimpse is a mean over the newest frames: at the request it may not have fallen yet, so that the
        # answer must follow a glimpse below the threshold, which may be older than the request
        before = latest(self._glimpses, asked)
        fallen_at = next(
            (each.t for each in [*([before] if before else []), *after] if each.map < threshold), None
        )
        if fallen_at is None:
            return asked
        rest = [each for each in after if each.t >= fallen_at]
        for place in range(len(rest) - in_a_row + 1):
            if all(each.map >= threshold for each in rest[place : place + in_a_row]):
                return rest[place].t
        return None

    def line(self) -> CurveLine:
        return [(each.t, each.map, each.model) for each in self._glimpses]

    def _from(self, t0: float, t1: float) -> list[ev.Accuracy]:
        """Glimpses with ``t0 <= t < t1``."""
        return between(self._glimpses, t0, math.nextafter(t1, -math.inf))


class MeasuredCurve:
    """``AccuracyCurve`` from students measured out of band: constant while a camera runs one student in one
    weather. Means are by time."""

    def __init__(self, steps: Sequence[ev.StudentMeasured]) -> None:
        self._steps = steps
        """In order of ``start``. A step may be of no length: a student that had not arrived at the run's
        end."""

    def at(self, t: float) -> float | None:
        index = bisect.bisect_right(self._steps, t, key=lambda step: step.start) - 1
        if index < 0:
            return None
        step = self._steps[index]
        # between two steps there may be one that could not be measured; after the last there is nothing
        return step.map if t <= step.end or index == len(self._steps) - 1 else None

    def mean(self, t0: float, t1: float) -> float | None:
        parts = [
            (step.map, min(step.end, t1) - max(step.start, t0))
            for step in self._steps
            if step.map is not None and step.start < t1 and step.end > t0
        ]
        total = math.fsum(length for _, length in parts)
        return math.fsum(value * length for value, length in parts) / total if total > 0 else None

    def lowest(self, t0: float, t1: float) -> float | None:
        # a step that ends at t0 is over then
        over = [step for step in self._steps if step.start <= t1 and (step.end > t0 or step.start >= t0)]
        return min((step.map for step in over if step.map is not None), default=None)

    def reached(self, asked: float, until: float, threshold: float, in_a_row: int) -> float | None:
        for step in self._steps:
            # one of no length never ran: it answers nothing
            ran = step.end > max(step.start, asked) and step.start < until
            if ran and step.map is not None and step.map >= threshold:
                return max(step.start, asked)
        return None

    def line(self) -> CurveLine:
        points: CurveLine = []
        for step, following in pairwise([*self._steps, None]):
            assert step is not None
            points += [(step.start, step.map, step.model), (step.end, step.map, step.model)]
            if following is not None and following.start > step.end:
                points.append((step.end, None, step.model))
        return points
