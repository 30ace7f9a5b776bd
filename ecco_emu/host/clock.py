"""The emulated clock of a run, read off the wall's monotonic clock or off virtual time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ecco_emu.core.clock import EmulatedTime


class RunClock:
    """The scenario's clock (``core.clock.Clock``): emulated seconds since ``start``.

    It also converts durations and rates for the adapters that deal with the host's own timers and links.
    ``wall`` is the clock that it is read off, in seconds: the wall's, or a virtual loop's in its place.
    """

    def __init__(self, dilation: float, wall: Callable[[], float] | None = None) -> None:
        self._wall = wall or time.monotonic
        self._time = EmulatedTime(dilation, self._wall())

    @property
    def dilation(self) -> float:
        """Seconds of the wall that one emulated second lasts."""
        return self._time.dilation

    def start(self) -> None:
        """Makes the present moment emulated time 0.

        A run builds its network and loads its models first, with this clock in hand already; the scenario
        begins only after that.
        """
        self._time = EmulatedTime(self._time.dilation, self._wall())

    def now(self) -> float:
        return self._time.emulated(self._wall())

    def wall_duration(self, emulated_s: float) -> float:
        """How many seconds of the wall ``emulated_s`` last."""
        return self._time.wall_duration(emulated_s)

    def wall_rate(self, emulated_bps: float) -> float:
        """The rate on the host that stands for ``emulated_bps`` in the scenario."""
        return self._time.wall_rate(emulated_bps)

    def emulated_duration(self, wall_s: float) -> float:
        """How many emulated seconds ``wall_s`` seconds of the wall stand for."""
        return self._time.emulated_duration(wall_s)

    def emulated(self, wall: float) -> float:
        """The emulated time of a moment of the wall's monotonic clock, such as the link lab's."""
        return self._time.emulated(wall)

    async def sleep_until(self, t: float) -> float:
        """Sleeps until emulated ``t`` and returns how late it woke, in emulated seconds."""
        # A time that is past still sleeps for 0 s: a caller that is behind in a loop must let others run.
        await asyncio.sleep(max(0.0, self._time.wall(t) - self._wall()))
        return max(0.0, self.now() - t)
