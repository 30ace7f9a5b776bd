"""What is remembered of each job's accuracy gain, within a window and from window to window.

The paper takes the newest measured gain for a job's gain until the job is trained again (section 3.1,
Algorithm 1). Two things make that brittle. A gain measured on a few frames is noisy, so here a new sample
is blended with the ones before it (``smoothing``). And a student may need a micro-window or two before its
accuracy moves at all, so that its first gain is about 0 and no later one would ever be measured. Here a
job's gain is taken to grow while the job waits (``recovery``), so no job waits for ever on one bad sample.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ecco_emu.core.ids import JobId


@dataclass(frozen=True, slots=True)
class GainRecord:
    """What is remembered of one job. A tick is a micro-window's number, counted over all windows."""

    gain: float | None
    """Smoothed accuracy gain of one micro-window; None before one was measured."""
    accuracy: float | None
    """Newest measured accuracy, 0 to 1; None before there was one."""
    trained_tick: int
    """When the job's last training ended."""
    sampled_tick: int | None
    """When the last gain was measured; earlier than ``trained_tick`` if frames to measure on were missing."""


class GainMemory:
    """Gains by job, on a clock that ticks once per micro-window and never goes back.

    ``smoothing``, in (0, 1], is the weight of a new sample when the remembered gain is one micro-window old.
    A remembered gain that is ``age`` micro-windows old keeps the weight (1 - smoothing) ** age, and the new
    sample has the rest. With 1 only the newest sample counts, as in the paper.
    ``recovery`` is the accuracy that is added to a gain for every micro-window the job has waited. With 0
    nothing is added, as in the paper.
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
        """``job`` was trained in the micro-window that ends now.

        ``before`` and ``after`` are its accuracies, None where it had no frames to be measured on.
        """
        old = self._records.get(job)
        gain = old.gain if old else None
        sampled = old.sampled_tick if old else None
        # An unmeasured training keeps the gain that the job had, but its wait is over all the same.
        if before is not None and after is not None:
            gain = self._blend(old, after - before)
            sampled = self._tick
        known = after if after is not None else (old.accuracy if old else None)
        self._records[job] = GainRecord(gain, known, self._tick, sampled)

    def _blend(self, old: GainRecord | None, sample: float) -> float:
        if old is None or old.gain is None or old.sampled_tick is None:
            return sample  # the first sample has nothing to be blended with
        # Exponential smoothing over elapsed ticks rather than over samples: the longer ago the last sample
        # was, the less it says. Two samples within one tick count as one tick apart.
        kept = (1.0 - self.smoothing) ** max(1, self._tick - old.sampled_tick)
        return kept * old.gain + (1.0 - kept) * sample

    def measured(self, job: JobId) -> float | None:
        """The smoothed gain, or None if the job was never measured."""
        record = self._records.get(job)
        return record.gain if record else None

    def accuracy(self, job: JobId) -> float | None:
        """The newest measured accuracy, or None if there is none."""
        record = self._records.get(job)
        return record.accuracy if record else None

    def waited(self, job: JobId) -> int | None:
        """Micro-windows since the job was last trained, 0 right after; None if it never was."""
        record = self._records.get(job)
        return self._tick - record.trained_tick if record else None

    def expected_gain(self, job: JobId) -> float:
        """The gain to expect of training the job now: measured, plus ``recovery`` per micro-window waited.

        A job that was never measured counts from 0.
        """
        return (self.measured(job) or 0.0) + self.recovery * (self.waited(job) or 0)

    def keep_only(self, jobs: Iterable[JobId]) -> None:
        """Forgets every other job: its group is gone, and ids are not used again."""
        kept = set(jobs)
        self._records = {job: record for job, record in self._records.items() if job in kept}
