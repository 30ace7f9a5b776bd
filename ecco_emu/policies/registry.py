"""Policies by the name a scenario gives them. A new policy is a file of its own and a row here."""

from __future__ import annotations

from ecco_emu.core.errors import ScenarioError
from ecco_emu.policies.base import Policy, PolicySetup
from ecco_emu.policies.ecco import EccoPolicy
from ecco_emu.policies.naive import NaivePolicy

_POLICIES: tuple[type[Policy], ...] = (
    EccoPolicy,
    NaivePolicy,
)

_BY_NAME = {each.name: each for each in _POLICIES}
POLICY_NAMES = tuple(_BY_NAME)
POLICY_MEANINGS = " ".join(f"``{each.name}``: {each.meaning}." for each in _POLICIES)
"""One line for the scenario's reference."""


def make_policy(name: str, setup: PolicySetup) -> Policy:
    """The run's policy. Raises ``ScenarioError`` for an unknown name."""
    if name not in _BY_NAME:
        raise ScenarioError(f"unknown policy {name!r}; there are: {', '.join(POLICY_NAMES)}")
    return _BY_NAME[name](setup)
