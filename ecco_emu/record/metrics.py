"""The state of a run, computed from its events alone: the same during the run and afterwards.

Reports, summaries, live views and expectations all read ``RunMetrics``. Its series hold the events
themselves, in order of emulated time. Times are emulated seconds; accuracies are mAP from 0 to 1.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable
from functools import singledispatchmethod
from typing import Self

from ecco_emu.core import events as ev
from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.faults import cut_off
from ecco_emu.record.parts import CameraMetrics, JobMetrics, Membership, StayEnd
from ecco_emu.record.series import insert


class RunMetrics:
    """The whole state of a run. Feed it with ``apply``, event by event, or make it with ``RunMetrics.of``."""

    def __init__(self) -> None:
        self.t = 0.0
        """The newest emulated time of any event."""
        self.started: ev.RunStarted | None = None
        self.ended: ev.RunEnded | None = None
        self.cameras: dict[str, CameraMetrics] = {}
        self.jobs: dict[str, JobMetrics] = {}
        self.micro_windows: list[ev.MicroWindow] = []
        self.windows: list[ev.WindowEnded] = []
        self.faults: list[ev.FaultApplied] = []
        self.clocks: list[ev.ClockReport] = []
        self.missed: list[ev.DeadlineMissed] = []
        self.expectations: list[ev.ExpectationChecked] = []
        self.troubles: list[ev.Trouble] = []

    @classmethod
    def of(cls, events: Iterable[ev.AnyEvent]) -> Self:
        metrics = cls()
        for event in events:
            metrics.apply(event)
        return metrics

    def apply(self, event: ev.AnyEvent) -> None:
        """Takes in one event. A kind without a method below only moves the clock."""
        if event.t > self.t:
            self.t = event.t
        self._fold(event)

    def camera(self, camera: str) -> CameraMetrics:
        """Raises ``ScenarioError`` for a camera that the run does not have."""
        try:
            return self.cameras[camera]
        except KeyError:
            known = ", ".join(self.cameras) or "none yet"
            raise ScenarioError(f"no camera {camera!r} in this run; it has: {known}") from None

    def job(self, job: str) -> JobMetrics:
        """Raises ``ScenarioError`` for a job that the run never had."""
        try:
            return self.jobs[job]
        except KeyError:
            known = ", ".join(self.jobs) or "none yet"
            raise ScenarioError(f"no retraining job {job!r} in this run; it has: {known}") from None

    @property
    def duration_s(self) -> float:
        """The planned length of the run; before it is known, the time reached."""
        return self.t if self.started is None else self.started.windows * self.started.window_s

    @property
    def window(self) -> int:
        """The number of the retraining window that ``t`` lies in, from 0."""
        if self.started is None:
            return 0
        # the run's closing measurements come after the last window's end and belong to it
        return min(int(self.t / self.started.window_s), self.started.windows - 1)

    @property
    def observed_s(self) -> float:
        """How long the run was observed: until its end or, where it was interrupted, until its newest
        event."""
        return min(self.t, self.duration_s)

    @property
    def mean_map(self) -> float | None:
        """The mean of the cameras' newest accuracies."""
        return self.mean_map_at(math.inf)

    def mean_map_at(self, t: float) -> float | None:
        """The mean over cameras of their accuracies at ``t``; cameras without one are left out."""
        values = [value for camera in self.cameras.values() if (value := camera.map_at(t)) is not None]
        return sum(values) / len(values) if values else None

    @property
    def segments_sent(self) -> int:
        return self._total(lambda camera: camera.segments_sent)

    @property
    def segments_delivered(self) -> int:
        return self._total(lambda camera: camera.segments_delivered)

    @property
    def segments_late(self) -> int:
        return self._total(lambda camera: camera.segments_late)

    @property
    def segments_lost(self) -> int:
        return self._total(lambda camera: camera.segments_lost)

    def _total(self, count: Callable[[CameraMetrics], int]) -> int:
        return sum(count(camera) for camera in self.cameras.values())

    def _camera(self, camera: str) -> CameraMetrics:
        return self.cameras.setdefault(camera, CameraMetrics(camera))

    def _job(self, job: str, t: float) -> JobMetrics:
        return self.jobs.setdefault(job, JobMetrics(job, t))

    def _leave(self, camera: CameraMetrics, t: float, ended_by: StayEnd) -> None:
        stay = camera.memberships[-1] if camera.memberships else None
        if stay is None or stay.end is not None:
            return
        stay.end, stay.ended_by = t, ended_by
        members = self.jobs[stay.job].members
        if camera.id in members:
            members.remove(camera.id)

    def _enter(self, camera: str, job: str, t: float) -> None:
        """A camera is in one job at a time: when it enters one, it leaves the other."""
        record, group = self._camera(camera), self._job(job, t)
        if record.job == job:  # it asked again and was put where it is
            return
        self._leave(record, t, "another job")
        stay = Membership(camera, job, t)
        record.memberships.append(stay)
        group.stays.append(stay)
        group.members.append(camera)

    @singledispatchmethod
    def _fold(self, event: ev.Event) -> None:
        """Any kind that has no method below: nothing to take in."""

    @_fold.register
    def _(self, event: ev.RunStarted) -> None:
        self.started = event
        for camera in event.cameras:
            self._camera(camera)

    @_fold.register
    def _(self, event: ev.RunEnded) -> None:
        self.ended = event

    @_fold.register
    def _(self, event: ev.Condition) -> None:
        insert(self._camera(event.camera).conditions, event)

    @_fold.register
    def _(self, event: ev.DriftNoticed) -> None:
        insert(self._camera(event.camera).drifts, event)

    @_fold.register
    def _(self, event: ev.RequestSent) -> None:
        insert(self._camera(event.camera).requests, event)

    @_fold.register
    def _(self, event: ev.RequestReceived) -> None:
        insert(self._camera(event.camera).requests_received, event)

    @_fold.register
    def _(self, event: ev.RequestDeferred) -> None:
        insert(self._camera(event.camera).deferred, event)

    @_fold.register
    def _(self, event: ev.RequestRefused) -> None:
        insert(self._camera(event.camera).refused, event)

    @_fold.register
    def _(self, event: ev.JobCreated) -> None:
        self._enter(event.camera, event.job, event.t)

    @_fold.register
    def _(self, event: ev.JobJoined) -> None:
        self._enter(event.camera, event.job, event.t)

    @_fold.register
    def _(self, event: ev.JobLeft) -> None:
        camera = self._camera(event.camera)
        if camera.job == event.job:  # else it has entered another job since, and so left this one already
            self._leave(camera, event.t, event.reason)

    @_fold.register
    def _(self, event: ev.JobEnded) -> None:
        job = self._job(event.job, event.t)
        for camera in list(job.members):
            self._leave(self._camera(camera), event.t, "released")
        job.ended = event

    @_fold.register
    def _(self, event: ev.Assigned) -> None:
        job = self._job(event.job, event.t)
        insert(job.assigned, event)
        job.p, job.c = event.p, event.c

    @_fold.register
    def _(self, event: ev.MicroWindow) -> None:
        insert(self.micro_windows, event)
        if event.job is None:
            return
        job = self._job(event.job, event.start)
        insert(job.micro_windows, event)
        if event.map_after is not None and math.isfinite(event.map_after):
            job.map = event.map_after

    @_fold.register
    def _(self, event: ev.WindowEnded) -> None:
        insert(self.windows, event)
        for group in event.groups:
            job = self._job(group.id, event.start)
            job.p, job.c = group.p, group.c
            if group.map is not None and math.isfinite(group.map):
                job.map = group.map

    @_fold.register
    def _(self, event: ev.StudentSent) -> None:
        insert(self._camera(event.camera).students_sent, event)

    @_fold.register
    def _(self, event: ev.StudentRunning) -> None:
        insert(self._camera(event.camera).students, event)

    @_fold.register
    def _(self, event: ev.CameraConfigured) -> None:
        insert(self._camera(event.camera).configured, event)

    @_fold.register
    def _(self, event: ev.Accuracy) -> None:
        if math.isfinite(event.map):
            insert(self._camera(event.camera).accuracy, event)

    @_fold.register
    def _(self, event: ev.StudentMeasured) -> None:
        measured = self._camera(event.camera).measured
        bisect.insort_right(measured, event, key=lambda step: (step.start, step.end))

    @_fold.register
    def _(self, event: ev.Traffic) -> None:
        insert(self._camera(event.camera).traffic, event)

    @_fold.register
    def _(self, event: ev.SegmentMoved) -> None:
        camera = self._camera(event.camera)
        insert(camera.segments, event)
        camera.segment_counts[event.state] = camera.segment_counts.get(event.state, 0) + 1
        if event.state != "sent":  # a segment that was sent may still arrive or not
            camera.stalled = event.state == "lost"

    @_fold.register
    def _(self, event: ev.FaultApplied) -> None:
        insert(self.faults, event)
        # a fault's end does not clear ``stalled``: the next segment that arrives does
        for name in cut_off(event.change, event.phase, list(self.cameras)):
            if name in self.cameras:
                self.cameras[name].stalled = True

    @_fold.register
    def _(self, event: ev.ClockReport) -> None:
        insert(self.clocks, event)

    @_fold.register
    def _(self, event: ev.DeadlineMissed) -> None:
        insert(self.missed, event)

    @_fold.register
    def _(self, event: ev.ExpectationChecked) -> None:
        insert(self.expectations, event)

    @_fold.register
    def _(self, event: ev.Trouble) -> None:
        insert(self.troubles, event)
