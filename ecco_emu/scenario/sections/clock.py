"""``clock``: emulated time against the wall."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from ecco_emu.scenario.sections.base import Strict


def _dilation(value: object) -> object:
    if value == "auto":
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.1 <= value <= 1000:
        raise ValueError(f"{value!r} is not a dilation: it is auto, or a number from 0.1 to 1000")
    return float(value)


class ClockSection(Strict):
    """How emulated time runs against the wall."""

    dilation: Annotated[float | Literal["auto"], BeforeValidator(_dilation)] = "auto"
    """Wall seconds per emulated second; ``auto`` measures at the start how many this host needs."""
