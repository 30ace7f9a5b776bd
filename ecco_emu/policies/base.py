"""What a policy decides.

A policy lives on the server for a whole run. Its camera side is only a transmission rule, which needs
nothing of the rest: a camera knows its own (c_j, p_j, n_j).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from ecco_emu.control.allocator import Allocator
from ecco_emu.control.transmission import TransmissionRule
from ecco_emu.core.ids import JobId


@runtime_checkable
class Policy(Protocol):
    """Who trains together, who gets the GPUs, what cameras send."""

    @property
    def name(self) -> str: ...

    @property
    def grouping(self) -> bool:
        """May a request join an existing job? Otherwise every request founds its own."""
        ...

    @property
    def transmission(self) -> TransmissionRule: ...

    def new_window(self, jobs: Mapping[JobId, int]) -> Allocator:
        """The allocation of the next retraining window among ``jobs`` (id -> number of members).

        What the policy remembers of a job ends with the first window that does not name it.
        """
        ...


class PolicySettings(Protocol):
    """The ``policy`` section of a scenario."""

    @property
    def name(self) -> str: ...

    @property
    def size_weight(self) -> float: ...

    @property
    def fairness(self) -> float: ...
