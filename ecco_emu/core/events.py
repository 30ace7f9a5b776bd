"""The events of a run, as typed values: each is one line of events.jsonl (docs/reference/events.md).

Reports, live views, summaries and expectations are computed from these events alone. A run can therefore be
read while it goes on, and again after a crash. Every event has ``t``, the emulated second at which it
happened. When the log writes a line, it adds ``wall``, the wall seconds since the log was opened. Fields
whose names end in ``_wall_s`` are wall time; all other times and rates are emulated. ``map`` is the mAP, from
0 to 1.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ecco_emu.core.faults import FaultPhase, LinkChange, action, where

FAULT_VERSION = 2
"""The version of ``fault`` lines. Version 1 had the texts ``on`` and ``action`` in place of ``change``; older
logs are still read (``record.old_faults``)."""
RESPONSE_THRESHOLD = 0.4
"""The accuracy (mAP) at which a retraining request counts as answered (paper, figures 7 and 13)."""
RESPONSE_MEASUREMENTS = 2
"""So many live measurements in a row must reach it. One alone, over some 20 frames, does so by chance."""
RunStatus = Literal["ok", "failed", "degraded", "interrupted"]
Criterion = Literal["expectation", "deadline", "loop lag", "error", "stopped"]
"""By which a run is not ``ok`` (``record.verdict``)."""
SegmentState = Literal["sent", "delivered", "late", "lost"]
LeaveReason = Literal["drop", "asked again", "no better", "released", "gone"]
"""Why a member left its group: the group's model fell on it (paper, Algorithm 2), it asked for retraining
again, the group's model is no better for it than the student it came with, the job ended, or the camera was
lost."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """The base of all events. A subclass's ``tag`` is the ``kind`` of its lines in the log."""

    t: float


class RunStarted(Event, frozen=True, kw_only=True, tag="run_started"):
    """The first event of a run: the settings that a reader needs to understand the rest."""

    name: str
    policy: str
    engine: str
    dilation: float
    seed: int
    trainer: str
    gpus: int
    window_s: float
    micro_s: float
    windows: int
    cameras: list[str]
    bottleneck_bps: float | None
    response_threshold: float = RESPONSE_THRESHOLD
    response_measurements: int = RESPONSE_MEASUREMENTS


class Condition(Event, frozen=True, kw_only=True, tag="condition"):
    """The weather that a camera sees begins to change at ``t``. The first tells the weather at the start."""

    camera: str
    district: str
    weather: str


class DriftNoticed(Event, frozen=True, kw_only=True, tag="drift"):
    """A camera's drift detector raised its alarm."""

    camera: str
    detector: str
    statistic: float
    """The monitored value at the alarm: the mean confidence of the student's best detections."""
    since: float | None = None
    """When the drift began, as the detector knows it; None in logs of earlier releases."""


class RequestSent(Event, frozen=True, kw_only=True, tag="request_sent"):
    """A camera asked the server for retraining (paper section 3.3); ``model`` is the student it runs."""

    camera: str
    model: str


class RequestReceived(Event, frozen=True, kw_only=True, tag="request_received"):
    """A camera's retraining request reached the server."""

    camera: str
    model: str


class RequestDeferred(Event, frozen=True, kw_only=True, tag="request_deferred"):
    """No job's model improves on the request's yet, and one that might has not trained enough to tell: the
    request is weighed again after the next micro-window."""

    camera: str
    gains: dict[str, float]
    """By job that could take the request: the mAP of its model less that of the request's model."""
    times: int
    """How often the request has been deferred, this time included."""


class RequestRefused(Event, frozen=True, kw_only=True, tag="request_refused"):
    """A retraining request was not admitted; the camera was told so."""

    camera: str
    reason: str


class JobCreated(Event, frozen=True, kw_only=True, tag="job_created"):
    """A request joined no job and began one of its own (paper, Algorithm 2)."""

    job: str
    camera: str
    model: str
    gains: dict[str, float]
    """By job that could have taken the request: the mAP of its model less that of the request's model."""


class JobJoined(Event, frozen=True, kw_only=True, tag="job_joined"):
    """A request joined a job that existed already (paper, Algorithm 2)."""

    job: str
    camera: str
    gains: dict[str, float]
    """As in ``JobCreated``."""


class JobLeft(Event, frozen=True, kw_only=True, tag="job_left"):
    """A member left its group."""

    job: str
    camera: str
    drop: float | None = None
    """By how much mAP the group's model fell on this member since the last window; with the reason ``drop``
    alone."""
    reason: LeaveReason = "drop"


class JobEnded(Event, frozen=True, kw_only=True, tag="job_ended"):
    """A retraining job ended; members that it still had were released."""

    job: str
    reason: str
    """In words: ``recovered``, ``no camera is left``, or what the policy says."""


class Assigned(Event, frozen=True, kw_only=True, tag="assigned"):
    """The server sent (c_j, p_j) to a group's cameras (paper section 3.2)."""

    job: str
    members: list[str]
    c: float
    """The job's GPU estimate c_j, in GPU micro-windows."""
    p: float
    """The job's GPU share p_j, from 0 to 1."""


class MicroWindow(Event, frozen=True, kw_only=True, tag="micro_window"):
    """One micro-window of GPU time, which one job got. ``job`` is None where there was no job to train, and
    where measuring took all of the budget (``charged``)."""

    window: int
    index: int
    start: float
    job: str | None
    steps: int = 0
    images: int = 0
    losses: list[float] = []
    map_before: float | None = None
    map_after: float | None = None
    train_wall_s: float = 0.0
    evaluate_wall_s: float = 0.0
    """Of the wall, for measuring the job before and after, and the requests weighed since the last one."""
    label_wall_s: float = 0.0
    """Of the wall, for the teacher's labels of frames that arrived since the last micro-window."""
    budget: float = 0.0
    """What all GPUs can do in a micro-window, in reference images (``trainer.gpu_speed``)."""
    charged: float = 0.0
    """The part of it that evaluation and labelling took (``trainer.evaluation_cost``, ``teacher_cost``)."""
    late: bool = False
    """The work was not done when the micro-window ended, give or take a twentieth: a missed deadline."""


class GroupState(msgspec.Struct, frozen=True, kw_only=True):
    """A job's group at the end of a retraining window."""

    id: str
    members: list[str]
    micro_windows: int
    """How many of the window's micro-windows the job got."""
    p: float
    c: float
    map: float | None


class WindowEnded(Event, frozen=True, kw_only=True, tag="window_ended"):
    """A retraining window is over; ``groups`` are those that the server had at its end."""

    window: int
    start: float
    groups: list[GroupState]


class StudentSent(Event, frozen=True, kw_only=True, tag="student_sent"):
    """The server told a camera to run a retrained student."""

    camera: str
    job: str
    model: str


class StudentRunning(Event, frozen=True, kw_only=True, tag="student_running"):
    """A camera switched to another student."""

    camera: str
    model: str
    transferred_bytes: int
    """Bytes of weights received; 0 when the camera had the student already."""
    transfer_s: float


class CameraConfigured(Event, frozen=True, kw_only=True, tag="camera_configured"):
    """A camera begins or stops to stream, or changes how it samples and how fast its rate grows."""

    camera: str
    state: Literal["idle", "streaming"]
    fps: float
    width: int
    height: int
    alpha: float
    """The additive increase of GAIMD, in packets per round-trip time (paper section 3.2.2)."""
    weight: float | None = None
    """The camera's part of the bandwidth relative to the other cameras', whatever the mapping to alpha: p/n
    where the policy follows the GPU. None in logs of earlier releases."""


class Accuracy(Event, frozen=True, kw_only=True, tag="accuracy"):
    """mAP (COCO, 0.50:0.95) of the student a camera runs, over its newest ``frames`` frames."""

    camera: str
    map: float
    map50: float
    frames: int
    model: str


class StudentMeasured(Event, frozen=True, kw_only=True, tag="student_measured"):
    """The accuracy of one student on one camera's frames of one stretch of weather, out of band.

    It holds for the camera from ``start`` to ``end``, while it ran that student in that weather. The frames
    are spread over the whole stretch of weather, not only over the time in which the student ran.
    """

    camera: str
    model: str
    start: float
    """Emulated second; ``t`` is when the measurement was made."""
    end: float
    weather: str
    map: float | None
    """None when no frame of the stretch had an object in it."""
    map50: float | None
    frames: int


class Traffic(Event, frozen=True, kw_only=True, tag="traffic"):
    """A camera's video traffic over the last ``period_s``."""

    camera: str
    period_s: float
    sent_bps: float
    goodput_bps: float
    """The rate at which the server received it. A packet that arrives twice counts once."""
    target_bps: float
    """The camera's weighted max-min share of the bottleneck, headers left out; 0 while idle. It is at most
    its uplink's rate, and at most the rate that its encoder produces if it sends less than it may."""
    allowed_bps: float
    """The rate that congestion control allowed."""
    rtt_ms: float
    """Smoothed round-trip time in emulated milliseconds; 0 while there is no connection."""
    loss: float
    """The fraction of packets declared lost."""
    cuts: int = 0
    """Congestion events: how often the congestion window was cut."""
    spurious: int = 0
    """Packets declared lost that had arrived."""
    stale: int = 0
    """Video messages given up because they could no longer be in time."""


class SegmentMoved(Event, frozen=True, kw_only=True, tag="segment"):
    """A video segment was sent, or its fate is known: in time, after its deadline (``late``) or given up
    (``lost``)."""

    camera: str
    sequence: int
    state: SegmentState
    frames: int
    bytes: int
    budget: int | None = None
    """Bytes that congestion control allowed for it, when it is sent. With the finest quantiser an encoder may
    have less to send."""


class FaultApplied(Event, frozen=True, kw_only=True, tag="fault"):
    """A fault changed the network at ``applied`` (``phase`` is ``start``), or ended then (``end``)."""

    version: int = FAULT_VERSION
    index: int
    """The fault's place in the scenario's list. Faults injected by hand are numbered after the list's."""
    phase: FaultPhase
    change: LinkChange
    requested: float
    """The emulated second that the scenario asks for."""
    applied: float
    """The emulated second at which the network had changed."""

    @property
    def on(self) -> str:
        """The link or, of a partition, the sets of nodes, in words."""
        return where(self.change)

    @property
    def action(self) -> str:
        """The change, in words."""
        return action(self.change, self.phase)


class ClockReport(Event, frozen=True, kw_only=True, tag="clock"):
    """How well the host kept up, from the beginning of the run until ``t``.

    The lags are the delays with which the event loop woke, in milliseconds of wall time. Every report covers
    the whole run so far, so that the newest one replaces those before it.
    """

    lag_p50_ms: float
    lag_p99_ms: float
    lag_max_ms: float
    deadline_misses: int
    rss_bytes: int
    """Resident memory of the run's processes together."""


class DeadlineMissed(Event, frozen=True, kw_only=True, tag="deadline_missed"):
    """The host was too slow for a step that has a time."""

    text: str
    """Which step."""
    late_s: float
    """By so much it came or ended after its time."""
    allowed_s: float
    """The time that there was for it."""


class ExpectationChecked(Event, frozen=True, kw_only=True, tag="expectation"):
    """One of the scenario's expectations was judged."""

    index: int
    text: str
    held: bool
    detail: str


class Trouble(Event, frozen=True, kw_only=True, tag="trouble"):
    """An error that the run survived."""

    where: str
    text: str


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run is not ``ok``, or was not measured as it should be."""

    criterion: Criterion
    text: str
    """In words, with the value and the limit."""
    value: float | None = None
    """The criterion's value: expectations that failed, deadlines missed, or emulated seconds."""
    limit: float | None = None
    """The value must not exceed it; of ``stopped``, the length that the run should have had."""


class RunEnded(Event, frozen=True, kw_only=True, tag="run_ended"):
    """The last event of a run. A run that was killed has none."""

    status: RunStatus
    reasons: list[Reason] = []
    """Why, where the status is not ``ok``. Empty in logs of earlier releases."""
    suggested_dilation: float | None = None
    """Where the host did not keep up: the dilation at which this run would have been in time."""


AnyEvent = (
    RunStarted
    | Condition
    | DriftNoticed
    | RequestSent
    | RequestReceived
    | RequestDeferred
    | RequestRefused
    | JobCreated
    | JobJoined
    | JobLeft
    | JobEnded
    | Assigned
    | MicroWindow
    | WindowEnded
    | StudentSent
    | StudentRunning
    | CameraConfigured
    | Accuracy
    | StudentMeasured
    | Traffic
    | SegmentMoved
    | FaultApplied
    | ClockReport
    | DeadlineMissed
    | ExpectationChecked
    | Trouble
    | RunEnded
)
