"""The state of a run, computed from its events alone: the same during the run and afterwards.

Reports, summaries, live views and expectations all read ``RunMetrics``. Its series hold the events
themselves, in order of emulated time. Times are emulated seconds; accuracies are mAP from 0 to 1.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Literal, Self, TypeVar

from ecco_emu.core import events as ev
from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.events import SegmentState
from ecco_emu.core.faults import cut_off

E = TypeVar("E", bound=ev.Event)


def insert(series: list[E], event: E) -> None:
    """Adds an event to a series kept in order of ``t``; equal times keep the order of arrival."""
    # cameras, server and lab report on their own: an event may tell of a ``t`` before the line before it
    if not series or series[-1].t <= event.t:
        series.append(event)
    else:
        bisect.insort_right(series, event, key=_time)


def latest(series: list[E], t: float) -> E | None:
    """The newest event at or before ``t``."""
    index = bisect.bisect_right(series, t, key=_time)
    return series[index - 1] if index else None


def between(series: list[E], t0: float, t1: float) -> list[E]:
    """The events with ``t0 <= t <= t1``."""
    return series[bisect.bisect_left(series, t0, key=_time) : bisect.bisect_right(series, t1, key=_time)]


def _time(event: ev.Event) -> float:
    return event.t


@dataclass(slots=True)
class Membership:
    """A camera's stay in a retraining job's group, from ``start`` to ``end`` (None while it lasts)."""

    camera: str
    job: str
    start: float
    end: float | None = None

    def holds(self, t: float) -> bool:
        return self.start <= t and (self.end is None or t < self.end)


@dataclass(slots=True)
class CameraMetrics:
    """One camera's part of a run: its accuracies, its traffic, its requests and its jobs."""

    id: str
    accuracy: list[ev.Accuracy] = field(default_factory=list)
    """Measured accuracies. A measurement that is not a number (a scene without objects) is left out."""
    traffic: list[ev.Traffic] = field(default_factory=list)
    configured: list[ev.CameraConfigured] = field(default_factory=list)
    conditions: list[ev.Condition] = field(default_factory=list)
    drifts: list[ev.DriftNoticed] = field(default_factory=list)
    requests: list[ev.RequestSent] = field(default_factory=list)
    requests_received: list[ev.RequestReceived] = field(default_factory=list)
    students_sent: list[ev.StudentSent] = field(default_factory=list)
    students: list[ev.StudentRunning] = field(default_factory=list)
    segments: list[ev.SegmentMoved] = field(default_factory=list)
    memberships: list[Membership] = field(default_factory=list)
    segment_counts: dict[str, int] = field(default_factory=dict)
    """How many segments met each fate, by ``SegmentState``."""

    stalled: bool = False
    """Its video does not get through: since a link was cut or a segment given up, no segment has arrived."""

    @property
    def state(self) -> Literal["idle", "streaming", "stalled"]:
        """``stalled``: the camera should stream, but its video does not arrive."""
        if not self.configured or self.configured[-1].state == "idle":
            return "idle"
        return "stalled" if self.stalled else "streaming"

    @property
    def map(self) -> float | None:
        """The newest accuracy measured."""
        return self.accuracy[-1].map if self.accuracy else None

    @property
    def model(self) -> str | None:
        """The hash of the student that the camera runs; None before any event has named it."""
        # a switch names the student, and so does every measurement: the one that a camera starts with is
        # only known from measurements
        switched = self.students[-1] if self.students else None
        measured = self.accuracy[-1] if self.accuracy else None
        if switched is not None and (measured is None or switched.t >= measured.t):
            return switched.model
        return measured.model if measured is not None else None

    @property
    def weather(self) -> str | None:
        return self.conditions[-1].weather if self.conditions else None

    @property
    def job(self) -> str | None:
        """The retraining job that the camera is a member of now."""
        stay = self.memberships[-1] if self.memberships else None
        return stay.job if stay is not None and stay.end is None else None

    @property
    def segments_sent(self) -> int:
        return self.segment_counts.get("sent", 0)

    @property
    def segments_delivered(self) -> int:
        """Segments that arrived complete and before their deadlines."""
        return self.segment_counts.get("delivered", 0)

    @property
    def segments_late(self) -> int:
        return self.segment_counts.get("late", 0)

    @property
    def segments_lost(self) -> int:
        return self.segment_counts.get("lost", 0)

    @property
    def weather_changes(self) -> list[ev.Condition]:
        """The conditions that differ from the one before. The weather at the run's start is no change."""
        changes: list[ev.Condition] = []
        before: str | None = None
        for condition in self.conditions:
            if condition.weather != before and (before is not None or condition.t > 0):
                changes.append(condition)
            before = condition.weather
        return changes

    def map_at(self, t: float) -> float | None:
        """The newest accuracy measured at or before ``t``; None before the first measurement."""
        measured = latest(self.accuracy, t)
        return None if measured is None else measured.map

    def job_at(self, t: float) -> str | None:
        for stay in reversed(self.memberships):
            if stay.holds(t):
                return stay.job
        return None

    def segments_between(self, t0: float, t1: float, state: SegmentState) -> int:
        """How many segments came to this state with ``t0 <= t <= t1``."""
        return sum(segment.state == state for segment in between(self.segments, t0, t1))

    def segments_delivered_between(self, t0: float, t1: float) -> int:
        """How many segments arrived in time with ``t0 <= t <= t1``; late ones do not count."""
        return self.segments_between(t0, t1, "delivered")


@dataclass(slots=True)
class JobMetrics:
    """A retraining job: its group of cameras, and the GPU time that it got."""

    id: str
    created: float
    members: list[str] = field(default_factory=list)
    """The group's cameras now, in the order in which they joined."""
    stays: list[Membership] = field(default_factory=list)
    """Every camera's stay in the group, ended ones too."""
    micro_windows: list[ev.MicroWindow] = field(default_factory=list)
    assigned: list[ev.Assigned] = field(default_factory=list)
    p: float | None = None
    """Its newest GPU share p_j."""
    c: float | None = None
    """Its newest GPU estimate c_j, in GPU micro-windows."""
    map: float | None = None
    """The group model's newest accuracy."""


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
    def mean_map(self) -> float | None:
        """The mean of the cameras' newest accuracies."""
        return self.mean_map_at(math.inf)

    def mean_map_at(self, t: float) -> float | None:
        """The mean over cameras of their newest accuracies at ``t``; cameras without one are left out."""
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

    def _leave(self, camera: CameraMetrics, t: float) -> None:
        stay = camera.memberships[-1] if camera.memberships else None
        if stay is None or stay.end is not None:
            return
        stay.end = t
        members = self.jobs[stay.job].members
        if camera.id in members:
            members.remove(camera.id)

    def _enter(self, camera: str, job: str, t: float) -> None:
        """A camera is in one job at a time: when it enters one, it leaves the other."""
        record, group = self._camera(camera), self._job(job, t)
        if record.job == job:  # it asked again and was put where it is
            return
        self._leave(record, t)
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
    def _(self, event: ev.JobCreated) -> None:
        self._enter(event.camera, event.job, event.t)

    @_fold.register
    def _(self, event: ev.JobJoined) -> None:
        self._enter(event.camera, event.job, event.t)

    @_fold.register
    def _(self, event: ev.JobLeft) -> None:
        camera = self._camera(event.camera)
        if camera.job == event.job:  # else it has entered another job since, and so left this one already
            self._leave(camera, event.t)

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
    def _(self, event: ev.ExpectationChecked) -> None:
        insert(self.expectations, event)

    @_fold.register
    def _(self, event: ev.Trouble) -> None:
        insert(self.troubles, event)
