"""``grouping``: which cameras may share a retraining job."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ecco_emu.control.grouping import SCENE_NOISE, JoinRule, SplitRule
from ecco_emu.scenario.sections.base import Length, Number, Strict, Time, Whole


class GroupingSection(Strict):
    """Algorithm 2: which retraining requests may share a job, when a member is split off, when a job ends."""

    time_window: Annotated[Time, Field(ge=0)] = 30.0
    """Requests further apart in time than this never share a job."""
    range: Annotated[Length, Field(ge=0)] = 80.0
    """Cameras further apart than this never share a job."""
    min_gain: Annotated[Number, Field(ge=-1, le=1)] = 0.03
    """A request joins a job whose model beats its own by at least this much mAP."""
    join_confidence: Annotated[Number, Field(ge=0.5, lt=1)] = 0.8
    """How sure it must be, from the frames, that this gain is not chance; 0.5 asks for nothing."""
    trial: Annotated[Whole, Field(ge=0, le=1000)] = 3
    """A request that no job improves on waits until the jobs near it have trained this many micro-windows, a
    window's length at most; 0 decides at once."""
    drop_threshold: Annotated[Number, Field(ge=0, le=1)] = 0.05
    """A member whose mAP falls by more than this over a window leaves its group."""
    split_confidence: Annotated[Number, Field(ge=0.5, lt=1)] = 0.99
    """How sure it must be, from the frames, that it fell at all; 0.5 is the paper's plain threshold."""
    scene_noise: Annotated[Number, Field(ge=0, le=1)] = SCENE_NOISE
    """Standard deviation, in mAP, of what another stretch of the same scene changes in accuracy."""
    recovered: Annotated[Number, Field(ge=0, le=1)] = 0.4
    """A job ends when each member has this mAP and gains are flat."""
    flat_gain: Annotated[Number, Field(ge=-1, le=1)] = 0.01
    """Gains are flat when a micro-window brings no more mAP than this on average over a window."""
    gone_after: Annotated[Time, Field(gt=0)] = 30.0
    """A member whose connection has been closed for this long leaves its group."""

    @property
    def join_rule(self) -> JoinRule:
        return JoinRule(self.min_gain, self.join_confidence, self.trial)

    @property
    def split_rule(self) -> SplitRule:
        return SplitRule(self.drop_threshold, self.split_confidence)
