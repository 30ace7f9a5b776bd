"""Policies: named compositions of ``control``. A policy says who may train together, who gets the GPUs and
what cameras send: ``base`` defines what that means, ``registry`` makes one by name, each other file is one.
"""

from ecco_emu.policies.base import Policy
from ecco_emu.policies.registry import POLICY_NAMES, make_policy, plan_transmission, transmission_rule

__all__ = ["POLICY_NAMES", "Policy", "make_policy", "plan_transmission", "transmission_rule"]
