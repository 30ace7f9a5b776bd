"""Who trains next: GPU micro-windows handed to retraining jobs (paper section 3.1, Algorithm 1).

An allocator lives for one retraining window. Its owner asks ``next_job``, trains that job on all GPUs
for one micro-window, and reports with ``record``; a micro-window in which nothing trained is reported
with ``skip``. Jobs come, go and change size at any time in between. Two allocators share that
conversation (``_Slots``) and differ in whom they pick:

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
from ecco_emu.core.ids import JobId


@dataclass(frozen=True, slots=True)
class GpuEstimate:
    """What a group's cameras are told (paper section 3.1, last paragraph)."""

    c: float
    """c_j = p_j * G * |T|: GPU micro-windows the job can expect in a whole window."""
    p: float
    """p_j: its share of all GPU time; the shares of all jobs sum to 1."""


class Allocator(Protocol):
    """The allocation of one retraining window's micro-windows."""

    @property
    def remaining(self) -> int:
        """Micro-windows not handed out and not skipped yet (one being trained counts as handed out)."""
        ...

    @property
    def initial_pass_complete(self) -> bool:
        """``estimate`` now rests on this window's measurements; False again once a job is added."""
        ...

    def next_job(self) -> JobId | None:
        """Whom to train in the next micro-window; the same answer until ``record``, ``skip`` or its removal.

        None when the window's micro-windows are spent or there is no job.
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


class _Slots(ABC):
    """The conversation both allocators have with their owner; subclasses choose and learn."""

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
        if self._pending not in self._members:  # none was named, or its job was removed since
            self._pending = None
            if self._members and self.remaining > 0:
                self._pending = self._choose()
        return self._pending

    def record(self, job: JobId, before: float | None, after: float | None) -> None:
        """Raises ``ValueError`` if ``job`` is not the one ``next_job`` named.

        A job removed while it trained still spends its micro-window; nothing is learnt from it.
        """
        if job != self._pending:
            raise ValueError(f"{job} was not given a micro-window (that was {self._pending})")
        self._pending = None
        self._spent += 1
        self._passed(1)
        if job in self._members:
            self._learn(job, before, after)

    def skip(self, micro_windows: int = 1) -> None:
        """A job that was named but not trained gives its micro-window back first."""
        if micro_windows < 0:
            raise ValueError("cannot skip a negative number of micro-windows")
        self._pending = None
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


class GreedyAllocator(_Slots):
    """Algorithm 1: every job trains once, then the highest objective gain takes each micro-window.

    Where the paper is silent: the initial pass goes to the longest-waiting job first (a job that never
    trained has waited longest), so that with more jobs than micro-windows all have their turn over
    the windows. Among equal objective gains, too, the longest-waiting job wins, then the first id.
    Negative gains stay negative in the ranking: the least bad job trains, for an idle GPU helps nobody.

    ``memory`` outlives the window: what it holds is blended with this window's samples.
    ``floor`` is the least objective gain a job is given in the estimate, so that a job whose gain is
    flat or negative keeps a little bandwidth to learn from.
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
        return self._tried >= self._members.keys() or self._spent >= self._micro_windows

    def remove_job(self, job: JobId) -> None:
        super().remove_job(job)
        self._tried.discard(job)
        self._memory.keep_only(self._members)

    def objective_gains(self) -> dict[JobId, float]:
        """OG_j of every job as Algorithm 1 ranks it now, growth while waiting included."""
        return self._objective_gains({job: self._memory.expected_gain(job) for job in self._members})

    def estimate(self) -> dict[JobId, GpuEstimate]:
        """p_j = max(OG_j, floor) / sum of these, from the smoothed gains.

        Before the initial pass is complete it rests on earlier windows; a job never measured counts as
        the mean of the others. So the first estimate of all is an equal split.
        """
        gains = {job: self._memory.measured(job) for job in self._members}
        known = [gain for gain in gains.values() if gain is not None]
        usual = sum(known) / len(known) if known else 0.0
        ranked = self._objective_gains({job: usual if gain is None else gain for job, gain in gains.items()})
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
            return min(untried, key=lambda job: (self._minus_waited(job), job))
        ranked = self.objective_gains()
        return min(ranked, key=lambda job: (-ranked[job], self._minus_waited(job), job))

    def _minus_waited(self, job: JobId) -> float:
        waited = self._memory.waited(job)
        return float("-inf") if waited is None else -waited

    def _learn(self, job: JobId, before: float | None, after: float | None) -> None:
        self._tried.add(job)
        self._memory.note(job, before, after)

    def _passed(self, micro_windows: int) -> None:
        self._memory.tick(micro_windows)


class TimeLedger:
    """Micro-windows each job has had so far, over all windows."""

    def __init__(self) -> None:
        self._spent: dict[JobId, int] = {}

    def open(self, job: JobId) -> None:
        """A newcomer starts level with the job that had least: it need not make up for the past."""
        self._spent.setdefault(job, min(self._spent.values(), default=0))

    def charge(self, job: JobId) -> None:
        self._spent[job] += 1

    def spent(self, job: JobId) -> int:
        return self._spent[job]

    def keep_only(self, jobs: Mapping[JobId, int]) -> None:
        self._spent = {job: count for job, count in self._spent.items() if job in jobs}


class FairAllocator(_Slots):
    """Equal GPU time: the job that has had least so far trains next; ties go to the first id.

    ``ledger`` outlives the window, so that jobs that do not divide a window evenly even out over several.
    """

    def __init__(
        self, micro_windows: int, gpus: int, jobs: Mapping[JobId, int], *, ledger: TimeLedger | None = None
    ) -> None:
        self._ledger = ledger if ledger is not None else TimeLedger()
        self._ledger.keep_only(jobs)
        super().__init__(micro_windows, gpus, jobs)

    @property
    def initial_pass_complete(self) -> bool:
        """Always: equal shares need no measurement."""
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
        return min(self._members, key=lambda job: (self._ledger.spent(job), job))

    def _learn(self, job: JobId, before: float | None, after: float | None) -> None:
        self._ledger.charge(job)

    def _passed(self, micro_windows: int) -> None:
        pass
