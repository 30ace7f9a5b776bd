"""The emulated clock on a running event loop, and how well the loop keeps it."""

from __future__ import annotations

import asyncio
import time
from collections import deque

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

    async def sleep_until(self, t: float) -> float:
        """Sleeps until emulated ``t``; yields once even when that is past. Returns the lateness."""
        await asyncio.sleep(max(0.0, self._time.wall(t) - time.monotonic()))
        return max(0.0, self.now() - t)


PROBE_INTERVAL_S = 0.02
KEPT_PROBES = 200_000


class LoopLag:
    """How late the event loop runs a timer, in wall time: every 20 ms one probe."""

    def __init__(self) -> None:
        self._lags_s: deque[float] = deque(maxlen=KEPT_PROBES)

    async def run(self) -> None:
        while True:
            due = time.monotonic() + PROBE_INTERVAL_S
            await asyncio.sleep(PROBE_INTERVAL_S)
            self._lags_s.append(max(0.0, time.monotonic() - due))

    def quantile_ms(self, fraction: float) -> float:
        """The lag that ``fraction`` of the probes did not exceed, in milliseconds; 0 before the first."""
        if not self._lags_s:
            return 0.0
        ordered = sorted(self._lags_s)
        return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] * 1e3
