"""What happened in a run, as typed values: the lines of events.jsonl.

Everything a report, a live view, a summary or an expectation knows of a run is folded from these, so
a run can be read while it goes on and again after a crash. ``t`` is emulated seconds. The log adds
``wall`` (seconds since the run began) when it writes a line. Times ending in ``_wall_s`` are wall time.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ecco_emu.core.faults import FaultPhase, LinkChange, action, where

FAULT_VERSION = 2
"""Of ``fault`` lines. The first version had ``on`` and ``action`` as text in place of ``change``."""
RunStatus = Literal["ok", "failed", "degraded", "interrupted"]
SegmentState = Literal["sent", "delivered", "late", "lost"]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    t: float


class RunStarted(Event, frozen=True, kw_only=True, tag="run_started"):
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


class Condition(Event, frozen=True, kw_only=True, tag="condition"):
    """The weather a camera sees changed (it begins to at ``t``)."""

    camera: str
    district: str
    weather: str


class DriftNoticed(Event, frozen=True, kw_only=True, tag="drift"):
    camera: str
    detector: str
    statistic: float
    """The monitored value at the alarm (mean confidence of the student's best detections)."""


class RequestSent(Event, frozen=True, kw_only=True, tag="request_sent"):
    camera: str
    model: str


class RequestReceived(Event, frozen=True, kw_only=True, tag="request_received"):
    camera: str
    model: str


class JobCreated(Event, frozen=True, kw_only=True, tag="job_created"):
    job: str
    camera: str
    model: str
    gains: dict[str, float]
    """Accuracy gain of every candidate job over the request's own model (Algorithm 2)."""


class JobJoined(Event, frozen=True, kw_only=True, tag="job_joined"):
    job: str
    camera: str
    gains: dict[str, float]


class JobLeft(Event, frozen=True, kw_only=True, tag="job_left"):
    job: str
    camera: str
    drop: float
    """How far the group model's accuracy on this member fell since the last window."""


class Assigned(Event, frozen=True, kw_only=True, tag="assigned"):
    """(c_j, p_j) were sent to a group's cameras."""

    job: str
    members: list[str]
    c: float
    p: float


class MicroWindow(Event, frozen=True, kw_only=True, tag="micro_window"):
    """One micro-window of GPU time, spent on one job (or on none: ``job`` is None)."""

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
    late: bool = False
    """It was not done when the micro-window ended: a missed deadline."""


class GroupState(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    members: list[str]
    micro_windows: int
    p: float
    c: float
    map: float | None


class WindowEnded(Event, frozen=True, kw_only=True, tag="window_ended"):
    window: int
    start: float
    groups: list[GroupState]


class StudentSent(Event, frozen=True, kw_only=True, tag="student_sent"):
    camera: str
    job: str
    model: str


class StudentRunning(Event, frozen=True, kw_only=True, tag="student_running"):
    """A camera switched to a student."""

    camera: str
    model: str
    transferred_bytes: int
    """0 when the camera already had it."""
    transfer_s: float


class CameraConfigured(Event, frozen=True, kw_only=True, tag="camera_configured"):
    camera: str
    state: Literal["idle", "streaming"]
    fps: float
    width: int
    height: int
    alpha: float


class Accuracy(Event, frozen=True, kw_only=True, tag="accuracy"):
    """mAP (COCO, 0.50:0.95) of the student a camera runs, over its newest ``frames`` frames."""

    camera: str
    map: float
    map50: float
    frames: int
    model: str


class Traffic(Event, frozen=True, kw_only=True, tag="traffic"):
    """A camera's video traffic over the last ``period_s``."""

    camera: str
    period_s: float
    sent_bps: float
    goodput_bps: float
    """What the server received of it, first arrivals only."""
    target_bps: float
    """Its weighted max-min share of the bottleneck under its uplink cap; 0 while idle."""
    allowed_bps: float
    """What congestion control allowed."""
    rtt_ms: float
    loss: float
    """Fraction of packets declared lost."""
    cuts: int = 0
    """Congestion events: how often the window was cut."""
    spurious: int = 0
    """Packets sent again although they had arrived."""
    stale: int = 0
    """Video messages given up because they could not be in time."""


class SegmentMoved(Event, frozen=True, kw_only=True, tag="segment"):
    """A video segment's fate. ``late``: arrived after its deadline; ``lost``: given up."""

    camera: str
    sequence: int
    state: SegmentState
    frames: int
    bytes: int


class FaultApplied(Event, frozen=True, kw_only=True, tag="fault"):
    """A fault's change of the network holds since ``applied``, or is over since then."""

    version: int = FAULT_VERSION
    index: int
    """The fault's place in the scenario's list; those injected by hand are numbered after them."""
    phase: FaultPhase
    change: LinkChange
    requested: float
    applied: float

    @property
    def on(self) -> str:
        """The link, in words."""
        return where(self.change)

    @property
    def action(self) -> str:
        """What was done, in words."""
        return action(self.change, self.phase)


class ClockReport(Event, frozen=True, kw_only=True, tag="clock"):
    """How well the host kept up, from the run's beginning until ``t``. Lags are of the event loop, in
    milliseconds of wall time."""

    lag_p50_ms: float
    lag_p99_ms: float
    lag_max_ms: float
    deadline_misses: int
    rss_bytes: int
    """Resident memory of the run's processes together."""


class ExpectationChecked(Event, frozen=True, kw_only=True, tag="expectation"):
    index: int
    text: str
    held: bool
    detail: str


class Trouble(Event, frozen=True, kw_only=True, tag="trouble"):
    """Something went wrong that the run survived."""

    where: str
    text: str


class RunEnded(Event, frozen=True, kw_only=True, tag="run_ended"):
    status: RunStatus


AnyEvent = (
    RunStarted
    | Condition
    | DriftNoticed
    | RequestSent
    | RequestReceived
    | JobCreated
    | JobJoined
    | JobLeft
    | Assigned
    | MicroWindow
    | WindowEnded
    | StudentSent
    | StudentRunning
    | CameraConfigured
    | Accuracy
    | Traffic
    | SegmentMoved
    | FaultApplied
    | ClockReport
    | ExpectationChecked
    | Trouble
    | RunEnded
)
