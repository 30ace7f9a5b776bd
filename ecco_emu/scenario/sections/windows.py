"""``windows``: retraining windows and micro-windows."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from ecco_emu.core import units
from ecco_emu.scenario.sections.base import Strict, Time, Whole


class WindowsSection(Strict):
    """Retraining windows and the micro-windows they are cut into (paper section 3)."""

    count: Annotated[Whole, Field(ge=1, le=1000)] = 3
    """Number of retraining windows; the run lasts count × length."""
    length: Annotated[Time, Field(gt=0)] = 20.0
    """Length of a retraining window."""
    micro: Annotated[Time, Field(gt=0)] = 2.0
    """Length of a micro-window, the smallest piece of GPU time that a job gets. It divides length."""

    @property
    def micro_per_window(self) -> int:
        return round(self.length / self.micro)

    @property
    def duration_s(self) -> float:
        return self.count * self.length

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        parts = self.length / self.micro
        # 0.2 s divides 0.6 s, but in floats the quotient is 2.9999999999999996
        if abs(parts - round(parts)) > 1e-6 or round(parts) < 1:
            raise ValueError(
                f"length ({units.format_time(self.length)}) must be a whole number of micro-windows "
                f"({units.format_time(self.micro)})"
            )
        return self
