"""``expect``: conditions that the run must meet."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from ecco_emu.scenario.sections.base import Strict, Time


class ExpectationSection(Strict):
    """A condition: ``camera`` delivers segments after a moment, or has an accuracy at the end."""

    camera: str
    """The camera it is about."""
    within: Annotated[Time, Field(gt=0)] | None = None
    """The time that the camera has after the moment ``of``."""
    of: str | None = None
    """A moment: ``fault[N].start``, ``fault[N].end``, ``start`` or a time such as ``25s``."""
    delivers: str | None = None
    """A comparison such as ``'>= 1 segment'``."""
    map: str | None = None
    """A comparison such as ``'>= 0.3'`` of the camera's accuracy at the end of the run."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.delivers is None) == (self.map is None):
            raise ValueError("an expectation has exactly one of: delivers, map")
        if self.delivers is not None and (self.within is None or self.of is None):
            raise ValueError("'delivers' needs 'within' (a time) and 'of' (a moment)")
        return self
