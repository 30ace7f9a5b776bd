"""The naive baseline: one job per camera, equal GPU time, fixed sampling, equal bandwidth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ecco_emu.control.allocator import Allocator, FairAllocator, TimeLedger
from ecco_emu.control.lifecycle import JobProgress
from ecco_emu.control.transmission import FixedTransmission, TransmissionRule
from ecco_emu.core.ids import JobId
from ecco_emu.policies.base import PolicySetup


class NaivePolicy:
    """GPU time is equal over the windows, even where a window does not divide evenly."""

    name: ClassVar[str] = "naive"
    meaning: ClassVar[str] = "one job per camera, equal shares"
    grouping: ClassVar[bool] = False

    def __init__(self, setup: PolicySetup) -> None:
        self._setup = setup
        self._ledger = TimeLedger()
        self.transmission: TransmissionRule = FixedTransmission()

    def ends(self, job: JobProgress) -> str | None:
        return self._setup.recovery.ends(job)

    def new_window(self, jobs: Mapping[JobId, int]) -> Allocator:
        return FairAllocator(self._setup.micro_windows, self._setup.gpus, jobs, ledger=self._ledger)
