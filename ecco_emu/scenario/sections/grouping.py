"""``grouping``: which cameras may share a retraining job."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ecco_emu.scenario.sections.base import Length, Number, Strict, Time


class GroupingSection(Strict):
    """Algorithm 2: which retraining requests may share a job, and when a member is split off."""

    time_window: Annotated[Time, Field(ge=0)] = 30.0
    """Requests further apart in time than this never share a job."""
    range: Annotated[Length, Field(ge=0)] = 80.0
    """Cameras further apart than this never share a job."""
    min_gain: Annotated[Number, Field(ge=-1, le=1)] = 0.0
    """A request joins a job whose model beats its own by at least this much mAP."""
    drop_threshold: Annotated[Number, Field(ge=0, le=1)] = 0.05
    """A member whose mAP falls by more than this over a window leaves its group."""
