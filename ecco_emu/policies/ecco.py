"""ECCO: group retraining, Algorithm 1 for the GPUs, GPU-proportional transmission (paper section 3)."""

from __future__ import annotations

from collections.abc import Mapping

from ecco_emu.control.allocator import Allocator, GreedyAllocator
from ecco_emu.control.gains import GainMemory
from ecco_emu.control.transmission import GpuProportional, TransmissionRule
from ecco_emu.core.ids import JobId


class EccoPolicy:
    """Gains are remembered from window to window; see ``GreedyAllocator`` for the parameters."""

    name = "ecco"
    grouping = True

    def __init__(
        self,
        *,
        micro_windows: int,
        gpus: int,
        size_weight: float = 0.5,
        fairness: float = 0.5,
        memory: GainMemory | None = None,
        transmission: TransmissionRule | None = None,
    ) -> None:
        self._micro_windows = micro_windows
        self._gpus = gpus
        self._size_weight = size_weight
        self._fairness = fairness
        self._memory = memory if memory is not None else GainMemory()
        self.transmission: TransmissionRule = transmission or GpuProportional()

    def new_window(self, jobs: Mapping[JobId, int]) -> Allocator:
        return GreedyAllocator(
            self._micro_windows,
            self._gpus,
            jobs,
            size_weight=self._size_weight,
            fairness=self._fairness,
            memory=self._memory,
        )
