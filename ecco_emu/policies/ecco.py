"""ECCO: group retraining, Algorithm 1 for the GPUs, GPU-proportional transmission (paper, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ecco_emu.control.allocator import Allocator, GreedyAllocator
from ecco_emu.control.gains import GainMemory
from ecco_emu.control.lifecycle import JobProgress
from ecco_emu.control.transmission import GpuProportional, TransmissionRule
from ecco_emu.core.ids import JobId
from ecco_emu.policies.base import PolicySetup


class EccoPolicy:
    """Gains are remembered from window to window; see ``GreedyAllocator`` for the parameters."""

    name: ClassVar[str] = "ecco"
    meaning: ClassVar[str] = "groups, Algorithm 1, GAIMD"
    grouping: ClassVar[bool] = True

    def __init__(self, setup: PolicySetup) -> None:
        self._setup = setup
        self._memory = GainMemory()
        self.transmission: TransmissionRule = GpuProportional(
            mapping=setup.mapping,
            tables=setup.tables,
            pixels_per_s_per_level=setup.pixels_per_s_per_level,
        )

    def ends(self, job: JobProgress) -> str | None:
        return self._setup.recovery.ends(job)

    def new_window(self, jobs: Mapping[JobId, int]) -> Allocator:
        return GreedyAllocator(
            self._setup.micro_windows,
            self._setup.gpus,
            jobs,
            size_weight=self._setup.size_weight,
            fairness=self._setup.fairness,
            memory=self._memory,
        )
