"""Which cameras share a retraining job (paper, section 3.3, Algorithm 2).

Metadata narrows the choice for a request (``candidates``), and measured accuracy decides it (``decide``). At
the end of each window, members that their group's model no longer fits are taken out (``SplitRule``), and so
are newcomers that it never fitted (``JoinRule.no_better``). The server measures the models on frames; this
module sees only estimates, which carry their uncertainty (``evidence``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from ecco_emu.control.evidence import AccuracyDifference, Estimate, two_sample
from ecco_emu.core.ids import CameraId, JobId, natural

SCENE_NOISE = 0.04
"""Standard deviation, in mAP, of what another stretch of the same scene changes in a window's accuracy: other
cars, nearer or farther. It does not show in the spread within a window. Measured on the town's cameras, of
whose steady members 1 % a window are split off with it (docs/notes/algorithms.md)."""

Linkage = Literal["nearest", "mean"]


@dataclass(frozen=True, slots=True)
class Metadata:
    """When (emulated seconds) and where (metres) a camera asked for retraining."""

    t: float
    at: tuple[float, float]


@dataclass(frozen=True, slots=True)
class JobMetadata:
    """A job's metadata: that of its members' newest requests (Algorithm 2, line 9 adds it to the job's)."""

    members: Mapping[CameraId, Metadata]

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("a job has at least one member")

    @property
    def t(self) -> float:
        """Mean request time of the members, in emulated seconds."""
        return sum(member.t for member in self.members.values()) / len(self.members)

    @property
    def at(self) -> tuple[float, float]:
        """Centroid of the members, in metres."""
        xs, ys = zip(*(member.at for member in self.members.values()), strict=True)
        return sum(xs) / len(xs), sum(ys) / len(ys)


def candidates(
    request: Metadata,
    jobs: Mapping[JobId, JobMetadata],
    time_window_s: float,
    range_m: float,
    linkage: Linkage = "nearest",
) -> list[JobId]:
    """Jobs close to the request in time and space (line 4), bounds included, in order of id.

    The paper does not say what a group's time and place are. With ``nearest`` one of its members must be
    within both bounds. With ``mean`` the members' mean time and centroid must be. ``nearest`` lets a group
    grow along a street; the accuracy that ``decide`` asks for keeps it from growing too far.
    """

    def close(other: Metadata) -> bool:
        return abs(other.t - request.t) <= time_window_s and math.dist(other.at, request.at) <= range_m

    def fits(job: JobMetadata) -> bool:
        if linkage == "mean":
            return close(Metadata(job.t, job.at))
        # Both bounds by the same member: one that is near in time and another that is near in space say
        # nothing of a common drift.
        return any(close(member) for member in job.members.values())

    return sorted((job for job, metadata in jobs.items() if fits(metadata)), key=natural)


@dataclass(frozen=True, slots=True)
class Weighed:
    """A candidate job for a request."""

    gain: AccuracyDifference | None
    """Accuracy of the job's model minus that of the request's own model, on the request's frames (line 6).
    None where these frames hold no object: nothing can be said of either."""
    trained: int
    """Micro-windows that the job has been trained for."""


class Verdict(Enum):
    JOIN = auto()
    DEFER = auto()
    FOUND = auto()


@dataclass(frozen=True, slots=True)
class JoinRule:
    """When a request joins a job. The paper has ``min_gain`` just above 0, no confidence and no trial."""

    min_gain: float = 0.03
    """Least gain, mAP."""
    confidence: float = 0.8
    """How sure it must be that the gain is above 0, one-sided; 0.5 asks for nothing."""
    trial: int = 3
    """Micro-windows that a job must have trained before "no gain" is an answer."""

    def joins(self, gain: AccuracyDifference) -> bool:
        return gain.value >= self.min_gain and gain.lower(self.confidence) >= min(0.0, self.min_gain)

    def no_better(self, gain: AccuracyDifference) -> bool:
        """Has the group's model nothing to offer to a newcomer, whose own model it should beat by now?"""
        return gain.value < self.min_gain


def decide(
    weighed: Mapping[JobId, Weighed], rule: JoinRule, *, may_wait: bool
) -> tuple[Verdict, JobId | None]:
    """Joins the job whose model beats the request's own by most (lines 5-9), founds one (line 11), or waits.

    Ties go to the first id. ``may_wait`` is False once the request has waited long enough.
    """
    # Requests of one drift arrive within seconds of each other, when the first one's job has not trained yet
    # and its model still is the one that all these cameras run: gains are 0. To found a job on that would
    # separate cameras that belong together, to join on it would unite fog with night. So the request waits
    # until the job has trained, and the gain then tells.
    gains = {job: each.gain for job, each in weighed.items() if each.gain is not None}
    joining = [job for job, gain in gains.items() if rule.joins(gain)]
    if joining:
        return Verdict.JOIN, min(joining, key=lambda job: (-gains[job].value, natural(job)))
    unknown = any(each.gain is None or each.trained < rule.trial for each in weighed.values())
    if may_wait and unknown:
        return Verdict.DEFER, None
    return Verdict.FOUND, None


@dataclass(frozen=True, slots=True)
class SplitRule:
    """When a member leaves its group (lines 16-17). With ``confidence`` 0.5 it is the paper's threshold."""

    threshold: float = 0.05
    """Least drop since the last window, mAP."""
    confidence: float = 0.99
    """How sure it must be that accuracy fell at all, one-sided, 0.5 to 1."""

    def fell(self, drop: AccuracyDifference) -> bool:
        """Has a member's accuracy under the group's model fallen, and do the frames support it?"""
        return drop.value > self.threshold and drop.lower(self.confidence) >= 0


def drops(
    previous: Mapping[CameraId, Estimate | None],
    current: Mapping[CameraId, Estimate],
    scene_noise: float = SCENE_NOISE,
) -> dict[CameraId, AccuracyDifference]:
    """By how much each member's accuracy under the group's model fell since the last window.

    A member that was measured in only one of the two windows is left out: it has just joined, or none of its
    frames arrived or had an object in it, and none of these says that it drifted away.
    """
    return {
        camera: two_sample(before, now, scene_noise)
        for camera, now in current.items()
        if (before := previous.get(camera)) is not None
    }
