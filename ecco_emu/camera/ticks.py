"""A camera's frame clock: the next frame to take, and the number of frames missed before it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class FrameTicks:
    """Every ``stride``-th frame of a clock of ``clock_fps``. Frame ``i`` is due at ``i / clock_fps``."""

    clock_fps: float
    stride: int = 1
    after: int = -1
    """Only frames after this one are taken."""
    _last: int = -1

    @classmethod
    def at_rate(cls, clock_fps: float, fps: float, after: int = -1) -> FrameTicks:
        """Ticks with the whole stride that comes nearest to ``fps``; never faster than the clock itself.

        A camera whose rate changes gives its last frame as ``after``, so that its frames go on rising.
        """
        return cls(clock_fps, max(1, round(clock_fps / fps)), after)

    @property
    def fps(self) -> float:
        return self.clock_fps / self.stride

    def next(self, now: float) -> tuple[int, float, int]:
        """The next frame at or after ``now``: its index, its time and how many were missed before it.

        A frame whose time has passed by less than one period is still taken, late.
        """
        # Indices are multiples of the stride, counted from emulated 0, so that all cameras of one rate take
        # their frames at the same times. 1e-9: a frame that is late by a whole period is missed, even if
        # rounding makes it a little less.
        due = self.stride * math.ceil((now * self.clock_fps - self.stride) / self.stride + 1e-9)
        first = max(0, due, self.stride * (self.after // self.stride + 1))
        following = self._last + self.stride if self._last >= 0 else first
        index = max(following, due, 0)
        missed = (index - following) // self.stride
        self._last = index
        return index, index / self.clock_fps, missed
