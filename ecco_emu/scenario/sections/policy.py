"""``policy``: which cameras train together, and how they share GPU time and bandwidth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ecco_emu.policies.registry import POLICY_MEANINGS, POLICY_NAMES
from ecco_emu.scenario.sections.base import Number, Strict

if TYPE_CHECKING:
    PolicyName = str
else:
    PolicyName = Literal[POLICY_NAMES]  # the registry's names: a policy is not listed a second time here


class PolicySection(Strict):
    """Which cameras train together, and how they share GPU time and bandwidth."""

    name: PolicyName = Field(default="ecco", description=POLICY_MEANINGS)
    size_weight: Annotated[Number, Field(ge=0, le=1)] = 0.5
    """alpha of Eq. 1: 1 weighs groups by their cameras, 0 weighs groups equally."""
    fairness: Annotated[Number, Field(ge=0, le=10)] = 0.5
    """beta of Eq. 1: the weight of the worst group's accuracy."""
