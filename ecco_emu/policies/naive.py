"""The naive baseline: one job per camera, equal GPU time, fixed sampling, equal bandwidth."""

from __future__ import annotations

from collections.abc import Mapping

from ecco_emu.control.allocator import Allocator, FairAllocator, TimeLedger
from ecco_emu.control.transmission import FixedTransmission, TransmissionRule
from ecco_emu.core.ids import JobId


class NaivePolicy:
    """GPU time is equal over the windows, even where a window does not divide evenly."""

    name = "naive"
    grouping = False

    def __init__(
        self, *, micro_windows: int, gpus: int, transmission: TransmissionRule | None = None
    ) -> None:
        self._micro_windows = micro_windows
        self._gpus = gpus
        self._ledger = TimeLedger()
        self.transmission: TransmissionRule = transmission or FixedTransmission()

    def new_window(self, jobs: Mapping[JobId, int]) -> Allocator:
        return FairAllocator(self._micro_windows, self._gpus, jobs, ledger=self._ledger)
