"""What is remembered of each job's accuracy gain, within a window and from window to window.

The paper measures a gain once and believes it until the job is trained again. Two things make that
brittle: a gain measured on a few frames is noisy, and a student may need a micro-window or two before
its accuracy moves at all. So a sample is blended into the last one (``smoothing``), and the longer a
job has waited, the better it is taken to be (``recovery``): none waits for ever on one bad sample.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ecco_emu.core.ids import JobId


@dataclass(frozen=True, slots=True)
class GainRecord:
    """A job's last known gain and accuracy, and the tick at which its training ended."""

    gain: float | None
    accuracy: float | None
    trained_tick: int
    sampled_tick: int | None


class GainMemory:
    """Gains by job, on a clock that ticks once per micro-window and never goes back.

    ``smoothing`` is the weight of a new sample against one that is one micro-window old; an older one
    weighs (1 - smoothing) ** age. 1 is the paper: only the newest sample counts.
    ``recovery`` is the accuracy per micro-window waited that is added to a gain; 0 is the paper.
    """

    def __init__(self, smoothing: float = 0.6, recovery: float = 0.01) -> None:
        if not 0 < smoothing <= 1:
            raise ValueError(f"smoothing must be in (0, 1], got {smoothing}")
        if recovery < 0:
            raise ValueError(f"recovery must not be negative, got {recovery}")
        self.smoothing = smoothing
        self.recovery = recovery
        self._tick = 0
        self._records: dict[JobId, GainRecord] = {}

    def tick(self, micro_windows: int = 1) -> None:
        """That many micro-windows went by."""
        self._tick += micro_windows

    def note(self, job: JobId, before: float | None, after: float | None) -> None:
        """``job`` was trained in the micro-window that ends now; None where it was not measured."""
        old = self._records.get(job)
        gain = old.gain if old else None
        sampled = old.sampled_tick if old else None
        if before is not None and after is not None:
            gain = self._blend(old, after - before)
            sampled = self._tick
        known = after if after is not None else (old.accuracy if old else None)
        self._records[job] = GainRecord(gain, known, self._tick, sampled)

    def _blend(self, old: GainRecord | None, sample: float) -> float:
        if old is None or old.gain is None or old.sampled_tick is None:
            return sample
        kept = (1.0 - self.smoothing) ** max(1, self._tick - old.sampled_tick)
        return kept * old.gain + (1.0 - kept) * sample

    def measured(self, job: JobId) -> float | None:
        """The smoothed gain, or None if the job was never measured."""
        record = self._records.get(job)
        return record.gain if record else None

    def accuracy(self, job: JobId) -> float | None:
        record = self._records.get(job)
        return record.accuracy if record else None

    def waited(self, job: JobId) -> int | None:
        """Micro-windows since the job was last trained, 0 right after; None if it never was."""
        record = self._records.get(job)
        return self._tick - record.trained_tick if record else None

    def expected_gain(self, job: JobId) -> float:
        """The gain to expect of training the job now: measured, plus ``recovery`` per micro-window waited."""
        return (self.measured(job) or 0.0) + self.recovery * (self.waited(job) or 0)

    def keep_only(self, jobs: Iterable[JobId]) -> None:
        """Forgets every job not named: its group is gone."""
        kept = set(jobs)
        self._records = {job: record for job, record in self._records.items() if job in kept}
