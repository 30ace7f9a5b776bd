"""Emulated time: one emulated second lasts ``dilation`` seconds of the wall's clock.

A host that is too slow for a scenario runs it slower instead of wrong. With a dilation of 4, a link of
6 Mbit/s becomes one of 1.5 Mbit/s on the host, a delay of 20 ms becomes 80 ms, and a micro-window of training
lasts four times as long. Numbers of bytes and probabilities stay: a queue of 50 kB still holds 50 kB.

All logic of the project speaks emulated seconds. Only its adapters (sockets, links, timers) convert, with the
functions below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class EmulatedTime:
    """The conversion between the wall (monotonic seconds) and the scenario (emulated seconds).

    >>> EmulatedTime(dilation=4.0, origin_wall=100.0).emulated(108.0)
    2.0
    """

    dilation: float
    """Seconds of the wall that one emulated second lasts."""
    origin_wall: float = 0.0
    """The wall time at which the scenario's clock shows 0. Durations and rates do not depend on it."""

    def __post_init__(self) -> None:
        # Written as a negation because NaN compares false with everything, so it is refused too.
        if not self.dilation > 0:
            raise ValueError(f"dilation must be positive, got {self.dilation}")

    def emulated(self, wall: float) -> float:
        """The emulated time at this wall time."""
        return (wall - self.origin_wall) / self.dilation

    def wall(self, emulated: float) -> float:
        """The wall time at which the scenario's clock shows ``emulated``."""
        return self.origin_wall + emulated * self.dilation

    def wall_duration(self, emulated_s: float) -> float:
        """How many seconds of the wall ``emulated_s`` last: for delays, timers and queues in seconds."""
        return emulated_s * self.dilation

    def emulated_duration(self, wall_s: float) -> float:
        return wall_s / self.dilation

    def wall_rate(self, emulated_bps: float) -> float:
        """The rate on the host that stands for ``emulated_bps`` in the scenario.

        Durations are multiplied and rates divided, so a rate still carries the same bytes in a duration.
        """
        return emulated_bps / self.dilation


class Clock(Protocol):
    """The scenario's clock, as coroutines see it. Emulated seconds throughout."""

    def now(self) -> float:
        """Emulated seconds since the run began."""
        ...

    async def sleep_until(self, t: float) -> float:
        """Sleeps until emulated ``t`` and returns how late it woke, in emulated seconds."""
        ...
