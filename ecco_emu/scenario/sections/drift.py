"""``drift``: how cameras notice drift."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ecco_emu.scenario.sections.base import Number, Strict, Time


class DriftSection(Strict):
    """How a camera notices drift without labels."""

    detector: Literal["page-hinkley", "adwin", "kswin", "oracle"] = "page-hinkley"
    """The change test on the student's confidence; ``oracle`` has no test: the world tells it of drift."""
    infer_fps: Annotated[Number, Field(gt=0, le=60)] = 4.0
    """How many frames a second the camera's student looks at."""
    confirm: Annotated[Time, Field(ge=0)] = 1.0
    """The alarm must last this long before a request is sent."""
