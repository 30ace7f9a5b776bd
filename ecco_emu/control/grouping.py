"""Which cameras share a retraining job (paper, section 3.3, Algorithm 2).

Metadata narrows the choice for a request (``candidates``), and measured accuracy decides it (``choose``). At
the end of each window, members that their group's model no longer fits are taken out (``members_to_split``).
The server measures the models on frames; this module sees only the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ecco_emu.core.ids import CameraId, JobId

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
    grow along a street; the accuracy that ``choose`` asks for keeps it from growing too far.
    """

    def close(other: Metadata) -> bool:
        return abs(other.t - request.t) <= time_window_s and math.dist(other.at, request.at) <= range_m

    def fits(job: JobMetadata) -> bool:
        if linkage == "mean":
            return close(Metadata(job.t, job.at))
        # Both bounds by the same member: one that is near in time and another that is near in space say
        # nothing of a common drift.
        return any(close(member) for member in job.members.values())

    return sorted(job for job, metadata in jobs.items() if fits(metadata))


def choose(gains: Mapping[JobId, float], min_gain: float = 0.0) -> JobId | None:
    """The job whose model beats the request's own model by most on the request's frames (lines 5-9).

    ``gains`` are differences of accuracy. Only gains of at least ``min_gain`` count; ties go to the first id.
    None means to start a new job (line 11).
    """
    # The paper asks for a positive gain. With the default of 0, a job that is exactly as good as the
    # request's own model will do. Requests of one drift arrive within seconds of each other, when the first
    # one's job has not trained yet and its model still is the one that all these cameras run: gains are 0.
    # Jobs are never merged later, so with the paper's rule each camera would train alone for the rest of the
    # run. Cameras that time and place grouped wrongly are split off at a window's end. Any tiny positive
    # ``min_gain`` gives the paper's rule.
    better = [(-gain, job) for job, gain in gains.items() if gain >= min_gain]
    return min(better)[1] if better else None


def members_to_split(
    previous: Mapping[CameraId, float | None], current: Mapping[CameraId, float | None], threshold: float
) -> list[tuple[CameraId, float]]:
    """Members whose accuracy under the group's model fell by more than ``threshold`` since the last window.

    Algorithm 2, lines 16-17. Each with its drop, largest first, then by id.
    """
    drops: list[tuple[CameraId, float]] = []
    for camera, now in current.items():
        before = previous.get(camera)
        # A member that was measured in only one of the two windows stays: it has just joined, or none of its
        # frames arrived, and neither says that it drifted away.
        if before is not None and now is not None and before - now > threshold:
            drops.append((camera, before - now))
    return sorted(drops, key=lambda item: (-item[1], item[0]))
