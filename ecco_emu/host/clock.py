"""The emulated clock of a run, read off the wall's monotonic clock."""

from __future__ import annotations

import asyncio
import time

from ecco_emu.core.clock import EmulatedTime


class RunClock:
    """Emulated seconds since ``start``, read off the monotonic clock (core.clock.Clock)."""

    def __init__(self, dilation: float) -> None:
        self._time = EmulatedTime(dilation, time.monotonic())

    @property
    def dilation(self) -> float:
        return self._time.dilation

    def start(self) -> None:
        """Now is emulated time 0."""
        self._time = EmulatedTime(self._time.dilation, time.monotonic())

    def now(self) -> float:
        return self._time.emulated(time.monotonic())

    def wall_elapsed(self) -> float:
        return time.monotonic() - self._time.origin_wall

    def wall_duration(self, emulated_s: float) -> float:
        return self._time.wall_duration(emulated_s)

    def wall_rate(self, emulated_bps: float) -> float:
        return self._time.wall_rate(emulated_bps)

    def emulated_duration(self, wall_s: float) -> float:
        return self._time.emulated_duration(wall_s)

    def emulated(self, wall: float) -> float:
        """The emulated time of a moment of the wall's monotonic clock, such as the link lab's."""
        return self._time.emulated(wall)

    async def sleep_until(self, t: float) -> float:
        """Sleeps until emulated ``t``; yields once even when that is past. Returns the lateness."""
        await asyncio.sleep(max(0.0, self._time.wall(t) - time.monotonic()))
        return max(0.0, self.now() - t)
