"""Who trains next: GPU micro-windows handed to retraining jobs (paper section 3.1, Algorithm 1).

An allocator lives for one retraining window. Its owner asks ``next_job``, trains that job on all GPUs for
one micro-window, and reports the result with ``record``. It reports a micro-window in which nothing trained
with ``skip``. Jobs come, go and change size at any time in between. ``_WindowAllocator`` is this exchange,
which two allocators share. They differ in the job that they choose:

- ``GreedyAllocator``: Algorithm 1. First every job once, then always the highest objective gain.
- ``FairAllocator``: equal GPU time, for baselines without an allocator of their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ecco_emu.control.gains import GainMemory
from ecco_emu.control.objective import JobGain, objective_gains
from ecco_emu.core.ids import JobId, natural


@dataclass(frozen=True, slots=True)
class GpuEstimate:
    """The GPU time that a group can expect, as its cameras are told (paper, section 3.1, last paragraph)."""

    c: float
    """c_j = p_j * G * |T|: GPU micro-windows the job can expect in a whole window."""
    p: float
    """p_j: its share of all GPU time; the shares of all jobs sum to 1."""


class Allocator(Protocol):
    """The allocation of one retraining window's micro-windows."""

    @property
    def remaining(self) -> int:
        """Micro-windows neither handed out nor skipped yet. One that is being trained is handed out."""
        ...

    @property
    def initial_pass_complete(self) -> bool:
        """Does ``estimate`` rest on this window's measurements? False again when a job is added.

        Algorithm 1 sends (c_j, p_j) to the cameras after its initial pass (line 15), not before.
        """
        ...

    def next_job(self) -> JobId | None:
        """The job to train in the next micro-window; None if no micro-window or no job is left.

        The answer stays the same until ``record``, ``skip`` or the removal of that job.
        """
        ...

    def record(self, job: JobId, before: float | None, after: float | None) -> None:
        """The micro-window given to ``job`` is over; its accuracy before and after (None: unmeasured)."""
        ...

    def skip(self, micro_windows: int = 1) -> None:
        """That many micro-windows went by with nothing trained: no job, or the last one overran."""
        ...

    def estimate(self) -> dict[JobId, GpuEstimate]:
        """(c_j, p_j) of every job."""
        ...

    def add_job(self, job: JobId, members: int) -> None: ...

    def resize_job(self, job: JobId, members: int) -> None: ...

    def remove_job(self, job: JobId) -> None: ...


class _WindowAllocator(ABC):
    """Counts micro-windows and keeps the list of jobs. Subclasses choose a job and learn from its result."""

    def __init__(self, micro_windows: int, gpus: int, jobs: Mapping[JobId, int]) -> None:
        if micro_windows < 1 or gpus < 1:
            raise ValueError("a window has at least one micro-window and one GPU")
        self._micro_windows = micro_windows
        self._gpus = gpus
        self._spent = 0
        self._pending: JobId | None = None
        self._members: dict[JobId, int] = {}
        for job, members in jobs.items():
            self.add_job(job, members)

    @property
    def remaining(self) -> int:
        return self._micro_windows - self._spent - (self._pending is not None)

    def next_job(self) -> JobId | None:
        if self._pending not in self._members:  # no job was named yet, or the named one has been removed
            self._pending = None
            if self._members and self.remaining > 0:
                self._pending = self._choose()
        return self._pending

    def record(self, job: JobId, before: float | None, after: float | None) -> None:
        """Raises ``ValueError`` if ``job`` is not the one that ``next_job`` named."""
        if job != self._pending:
            raise ValueError(f"{job} was not given a micro-window (that was {self._pending})")
        self._pending = None
        self._spent += 1
        self._passed(1)
        # A job that was removed while it trained has spent its micro-window, but its result concerns nobody.
        if job in self._members:
            self._learn(job, before, after)

    def skip(self, micro_windows: int = 1) -> None:
        """That many micro-windows went by untrained. More than there are left count as all that are left."""
        if micro_windows < 0:
            raise ValueError("cannot skip a negative number of micro-windows")
        self._pending = None  # a job that was named but not trained gives its micro-window back
        micro_windows = min(micro_windows, self.remaining)
        self._spent += micro_windows
        self._passed(micro_windows)

    def add_job(self, job: JobId, members: int) -> None:
        if job in self._members:
            raise ValueError(f"job {job} is here already")
        self._set_members(job, members)

    def resize_job(self, job: JobId, members: int) -> None:
        """The group gained or lost cameras."""
        if job not in self._members:
            raise KeyError(job)
        self._set_members(job, members)

    def remove_job(self, job: JobId) -> None:
        del self._members[job]

    def _set_members(self, job: JobId, members: int) -> None:
        if members < 1:
            raise ValueError(f"job {job} would have {members} members; remove it instead")
        self._members[job] = members

    def _estimates(self, shares: Mapping[JobId, float]) -> dict[JobId, GpuEstimate]:
        total = sum(shares.values())
        budget = self._gpus * self._micro_windows
        return {job: GpuEstimate(c=share / total * budget, p=share / total) for job, share in shares.items()}

    @abstractmethod
    def _choose(self) -> JobId: ...

    @abstractmethod
    def _learn(self, job: JobId, before: float | None, after: float | None) -> None: ...

    @abstractmethod
    def _passed(self, micro_windows: int) -> None: ...


class GreedyAllocator(_WindowAllocator):
    """Algorithm 1: every job trains once, then the highest objective gain takes each micro-window.

    The paper leaves ties, negative gains and windows with fewer micro-windows than jobs open; the comments
    below say what is done about them.

    ``size_weight`` and ``fairness`` are those of Eq. 1 (``objective``). ``memory`` outlives the window: the
    gains that it holds are blended with this window's samples. ``floor`` is the least objective gain that a
    job is given in the estimate, so that a job whose gain is flat or negative keeps a little bandwidth to
    learn from. Raises ``ValueError`` for a ``floor`` that is not positive: the shares would not be defined
    when no job gains.
    """

    def __init__(
        self,
        micro_windows: int,
        gpus: int,
        jobs: Mapping[JobId, int],
        *,
        size_weight: float = 0.5,
        fairness: float = 0.5,
        floor: float = 0.01,
        memory: GainMemory | None = None,
    ) -> None:
        if floor <= 0:
            raise ValueError(f"floor must be positive, got {floor}")
        self._size_weight = size_weight
        self._fairness = fairness
        self._floor = floor
        self._memory = memory if memory is not None else GainMemory()
        self._memory.keep_only(jobs)
        self._tried: set[JobId] = set()
        super().__init__(micro_windows, gpus, jobs)

    @property
    def initial_pass_complete(self) -> bool:
        """Every job trained once in this window, or the window had too few micro-windows for that."""
        # Without the second condition, cameras would get no estimate while jobs outnumber micro-windows.
        return self._tried >= self._members.keys() or self._spent >= self._micro_windows

    def remove_job(self, job: JobId) -> None:
        super().remove_job(job)
        self._tried.discard(job)
        self._memory.keep_only(self._members)

    def objective_gains(self) -> dict[JobId, float]:
        """OG_j of every job as Algorithm 1 ranks it now (lines 9-12), its growth while waiting included."""
        return self._objective_gains({job: self._memory.expected_gain(job) for job in self._members})

    def estimate(self) -> dict[JobId, GpuEstimate]:
        """(c_j, p_j) with p_j = max(OG_j, floor) / sum of these (line 15), from the smoothed gains.

        Before the initial pass is complete the estimate rests on earlier windows.
        """
        # Growth while waiting stays out: it says who should be tried next, not how much data a group needs.
        # A job that was never measured counts as the mean of the others, so that it neither starves them
        # nor is starved. Before any job was measured all are equal.
        gains = {job: self._memory.measured(job) for job in self._members}
        known = [gain for gain in gains.values() if gain is not None]
        mean_gain = sum(known) / len(known) if known else 0.0
        ranked = self._objective_gains(
            {job: mean_gain if gain is None else gain for job, gain in gains.items()}
        )
        return self._estimates({job: max(gain, self._floor) for job, gain in ranked.items()})

    def _objective_gains(self, gains: Mapping[JobId, float]) -> dict[JobId, float]:
        jobs = [
            JobGain(job, members, self._memory.accuracy(job), gains[job])
            for job, members in self._members.items()
        ]
        return objective_gains(jobs, self._size_weight, self._fairness)

    def _choose(self) -> JobId:
        untried = self._members.keys() - self._tried
        if untried:
            # The initial pass (lines 13-14), longest wait first: with more jobs than micro-windows, jobs that
            # had no turn in this window come first in the next one.
            return min(untried, key=lambda job: (self._negated_wait(job), natural(job)))
        # The greedy step (lines 16-18). Equal gains go to the longest wait, then to the first id. If all
        # gains are negative, the least bad job trains: an idle GPU helps no job.
        ranked = self.objective_gains()
        return min(ranked, key=lambda job: (-ranked[job], self._negated_wait(job), natural(job)))

    def _negated_wait(self, job: JobId) -> float:
        waited = self._memory.waited(job)
        return float("-inf") if waited is None else -waited  # a job that never trained has waited longest

    def _learn(self, job: JobId, before: float | None, after: float | None) -> None:
        self._tried.add(job)
        self._memory.note(job, before, after)

    def _passed(self, micro_windows: int) -> None:
        self._memory.tick(micro_windows)


class TimeLedger:
    """Counts the micro-windows that each job has had so far, over all windows."""

    def __init__(self) -> None:
        self._spent: dict[JobId, int] = {}

    def open(self, job: JobId) -> None:
        """Adds ``job``, if it is new, level with the job that has had least."""
        # From 0 it would take every micro-window until it had caught up with jobs of many windows.
        self._spent.setdefault(job, min(self._spent.values(), default=0))

    def charge(self, job: JobId) -> None:
        self._spent[job] += 1

    def spent(self, job: JobId) -> int:
        return self._spent[job]

    def keep_only(self, jobs: Mapping[JobId, int]) -> None:
        self._spent = {job: count for job, count in self._spent.items() if job in jobs}


class FairAllocator(_WindowAllocator):
    """Equal GPU time: the job that has had least so far trains next; ties go to the first id.

    ``ledger`` outlives the window: three jobs in windows of four micro-windows cannot have equal time within
    one window, but they have it over three.
    """

    def __init__(
        self, micro_windows: int, gpus: int, jobs: Mapping[JobId, int], *, ledger: TimeLedger | None = None
    ) -> None:
        self._ledger = ledger if ledger is not None else TimeLedger()
        self._ledger.keep_only(jobs)
        super().__init__(micro_windows, gpus, jobs)

    @property
    def initial_pass_complete(self) -> bool:
        """Always true: equal shares need no measurement."""
        return True

    def add_job(self, job: JobId, members: int) -> None:
        super().add_job(job, members)
        self._ledger.open(job)

    def remove_job(self, job: JobId) -> None:
        super().remove_job(job)
        self._ledger.keep_only(self._members)

    def estimate(self) -> dict[JobId, GpuEstimate]:
        return self._estimates(dict.fromkeys(self._members, 1.0))

    def _choose(self) -> JobId:
        return min(self._members, key=lambda job: (self._ledger.spent(job), natural(job)))

    def _learn(self, job: JobId, before: float | None, after: float | None) -> None:
        self._ledger.charge(job)

    def _passed(self, micro_windows: int) -> None:
        pass
