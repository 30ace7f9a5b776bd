"""``policy``: who trains together, who gets the GPUs, what cameras send."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ecco_emu.scenario.sections.base import Number, Strict

PolicyName = Literal["ecco", "naive"]


class PolicySection(Strict):
    """Who trains together, who gets the GPU, who gets the bandwidth."""

    name: PolicyName = "ecco"
    """``ecco``: groups, Algorithm 1, GAIMD. ``naive``: one job per camera, equal shares."""
    size_weight: Annotated[Number, Field(ge=0, le=1)] = 0.5
    """alpha of Eq. 1: 1 weighs groups by their cameras, 0 weighs groups equally."""
    fairness: Annotated[Number, Field(ge=0, le=10)] = 0.5
    """beta of Eq. 1: the weight of the worst group's accuracy."""
