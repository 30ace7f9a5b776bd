"""Policies by the name a scenario gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

from ecco_emu.control import shares
from ecco_emu.control.sampling import SamplingTable
from ecco_emu.control.transmission import (
    CameraLimits,
    FixedTransmission,
    GpuProportional,
    TransmissionPlan,
    TransmissionRule,
)
from ecco_emu.core.errors import ScenarioError
from ecco_emu.policies.base import Policy, PolicySettings
from ecco_emu.policies.ecco import EccoPolicy
from ecco_emu.policies.naive import NaivePolicy

T = TypeVar("T")


def _ecco(settings: PolicySettings, gpus: int, micro_windows: int) -> Policy:
    return EccoPolicy(
        micro_windows=micro_windows,
        gpus=gpus,
        size_weight=settings.size_weight,
        fairness=settings.fairness,
    )


def _naive(settings: PolicySettings, gpus: int, micro_windows: int) -> Policy:
    return NaivePolicy(micro_windows=micro_windows, gpus=gpus)


_POLICIES: Mapping[str, Callable[[PolicySettings, int, int], Policy]] = MappingProxyType(
    {"ecco": _ecco, "naive": _naive}
)


def _proportional(table: SamplingTable | None, mapping: shares.AlphaMapping) -> TransmissionRule:
    return GpuProportional(table, mapping=mapping)


def _fixed(table: SamplingTable | None, mapping: shares.AlphaMapping) -> TransmissionRule:
    return FixedTransmission()


_RULES: Mapping[str, Callable[[SamplingTable | None, shares.AlphaMapping], TransmissionRule]] = (
    MappingProxyType({"ecco": _proportional, "naive": _fixed})
)
POLICY_NAMES = tuple(_POLICIES)


def make_policy(settings: PolicySettings, *, gpus: int, micro_windows: int) -> Policy:
    """The server's policy; ``settings`` is a scenario's policy section.

    ``micro_windows`` are those of one retraining window. Raises ``ScenarioError`` for an unknown name.
    """
    return _known(_POLICIES, settings.name)(settings, gpus, micro_windows)


def transmission_rule(
    policy: str, table: SamplingTable | None = None, mapping: shares.AlphaMapping = "linear"
) -> TransmissionRule:
    """What a camera under this policy does with its (c_j, p_j, n_j); ``table``: its profile, if any."""
    return _known(_RULES, policy)(table, mapping)


def plan_transmission(
    policy: str,
    c: float,
    p: float,
    members: int,
    source: CameraLimits,
    table: SamplingTable | None = None,
) -> TransmissionPlan:
    """One camera's plan under the named policy, for its group's estimate (c_j, p_j) and size n_j."""
    return transmission_rule(policy, table).plan(c, p, members, source)


def _known(entries: Mapping[str, T], name: str) -> T:
    if name not in entries:
        raise ScenarioError(f"unknown policy {name!r}; there are: {', '.join(entries)}")
    return entries[name]
