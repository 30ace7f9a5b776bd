"""Series of events, kept in order of emulated time."""

from __future__ import annotations

import bisect
from typing import TypeVar

from ecco_emu.core import events as ev

E = TypeVar("E", bound=ev.Event)


def insert(series: list[E], event: E) -> None:
    """Adds an event to a series kept in order of ``t``; equal times keep the order of arrival."""
    # cameras, server and lab report on their own: an event may tell of a ``t`` before the line before it
    if not series or series[-1].t <= event.t:
        series.append(event)
    else:
        bisect.insort_right(series, event, key=_time)


def latest(series: list[E], t: float) -> E | None:
    """The newest event at or before ``t``."""
    index = bisect.bisect_right(series, t, key=_time)
    return series[index - 1] if index else None


def between(series: list[E], t0: float, t1: float) -> list[E]:
    """The events with ``t0 <= t <= t1``."""
    return series[bisect.bisect_left(series, t0, key=_time) : bisect.bisect_right(series, t1, key=_time)]


def _time(event: ev.Event) -> float:
    return event.t
