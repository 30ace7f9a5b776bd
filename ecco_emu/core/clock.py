"""Emulated time (docs/design.md): one emulated second lasts ``dilation`` seconds of the wall.

Rates are divided by the dilation, delays and timers multiplied; bytes and probabilities stay. All
logic above this module speaks emulated seconds; only adapters convert.
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
    origin_wall: float = 0.0
    """The wall time of emulated time 0. Durations and rates do not depend on it."""

    def __post_init__(self) -> None:
        if not self.dilation > 0:
            raise ValueError(f"dilation must be positive, got {self.dilation}")

    def emulated(self, wall: float) -> float:
        """The emulated time at this wall time."""
        return (wall - self.origin_wall) / self.dilation

    def wall(self, emulated: float) -> float:
        """The wall time at which the scenario's clock shows ``emulated``."""
        return self.origin_wall + emulated * self.dilation

    def wall_duration(self, emulated_s: float) -> float:
        return emulated_s * self.dilation

    def emulated_duration(self, wall_s: float) -> float:
        return wall_s / self.dilation

    def wall_rate(self, emulated_bps: float) -> float:
        """The rate on the host that stands for ``emulated_bps`` in the scenario."""
        return emulated_bps / self.dilation


class Clock(Protocol):
    """What coroutines see of time. Emulated seconds throughout."""

    def now(self) -> float: ...

    async def sleep_until(self, t: float) -> float:
        """Sleeps until emulated ``t`` and returns how late it woke, in emulated seconds."""
        ...
