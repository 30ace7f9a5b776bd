"""The parts of a run as its events tell of them: cameras, retraining jobs, and who was in which job when.

``record.metrics.RunMetrics`` fills them. Times are emulated seconds; accuracies are mAP from 0 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from ecco_emu.core import events as ev
from ecco_emu.core.events import LeaveReason, SegmentState
from ecco_emu.record.curve import AccuracyCurve, GlimpsedCurve, MeasuredCurve
from ecco_emu.record.series import between

StayEnd = LeaveReason | Literal["another job"]
"""Why a camera's stay in a group ended; ``another job``: it entered one without leaving this one first."""


@dataclass(slots=True)
class Membership:
    """A camera's stay in a retraining job's group, from ``start`` to ``end`` (None while it lasts)."""

    camera: str
    job: str
    start: float
    end: float | None = None
    ended_by: StayEnd | None = None

    def holds(self, t: float) -> bool:
        return self.start <= t and (self.end is None or t < self.end)


@dataclass(slots=True)
class CameraMetrics:
    """One camera's part of a run: its accuracies, its traffic, its requests and its jobs."""

    id: str
    accuracy: list[ev.Accuracy] = field(default_factory=list)
    """Accuracies measured live, on the newest frames. One that is not a number is left out."""
    measured: list[ev.StudentMeasured] = field(default_factory=list)
    """Its students' accuracies, measured out of band; in order of ``start``."""
    traffic: list[ev.Traffic] = field(default_factory=list)
    configured: list[ev.CameraConfigured] = field(default_factory=list)
    conditions: list[ev.Condition] = field(default_factory=list)
    drifts: list[ev.DriftNoticed] = field(default_factory=list)
    requests: list[ev.RequestSent] = field(default_factory=list)
    requests_received: list[ev.RequestReceived] = field(default_factory=list)
    deferred: list[ev.RequestDeferred] = field(default_factory=list)
    refused: list[ev.RequestRefused] = field(default_factory=list)
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
    def curve(self) -> AccuracyCurve:
        """Its accuracy over time: as its students were measured or, before that, as glimpsed live."""
        return MeasuredCurve(self.measured) if self.measured else GlimpsedCurve(self.accuracy)

    @property
    def map(self) -> float | None:
        """The newest accuracy: after a run that of the student delivered last, live the newest glimpse."""
        return self.curve.at(math.inf)

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

    @property
    def newest_student(self) -> str | None:
        """The retrained student that it was offered last, or ran last where that came later; None without."""
        told: list[ev.StudentSent | ev.StudentRunning] = [*self.students_sent, *self.students]
        return max(told, key=lambda event: event.t).model if told else None

    @property
    def switches(self) -> list[ev.StudentRunning]:
        """The switches to another student. A student that is offered again while it runs is none."""
        found: list[ev.StudentRunning] = []
        for running in self.students:
            if not found or running.model != found[-1].model:
                found.append(running)
        return found

    def map_at(self, t: float) -> float | None:
        """The accuracy at ``t``; None before the first measurement."""
        return self.curve.at(t)

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
    ended: ev.JobEnded | None = None
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
