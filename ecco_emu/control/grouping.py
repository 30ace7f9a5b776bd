"""Who shares a retraining job (paper section 3.3, Algorithm 2).

Metadata narrows the choice (``candidates``), measured accuracy decides it (``choose``), and at the end of
each window members that their group's model no longer fits are taken out (``members_to_split``). The
measuring itself, a model on frames, is the server's; only its numbers come here.
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
    """A job's metadata is that of its members' requests, merged."""

    members: Mapping[CameraId, Metadata]

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("a job has at least one member")

    @property
    def t(self) -> float:
        """Mean request time of the members."""
        return sum(member.t for member in self.members.values()) / len(self.members)

    @property
    def at(self) -> tuple[float, float]:
        """Centroid of the members."""
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

    ``nearest``: some one member is within both bounds. ``mean``: the members' mean time and centroid are.
    """

    def close(other: Metadata) -> bool:
        return abs(other.t - request.t) <= time_window_s and math.dist(other.at, request.at) <= range_m

    def fits(job: JobMetadata) -> bool:
        if linkage == "mean":
            return close(Metadata(job.t, job.at))
        return any(close(member) for member in job.members.values())

    return sorted(job for job, metadata in jobs.items() if fits(metadata))


def choose(gains: Mapping[JobId, float], min_gain: float = 0.0) -> JobId | None:
    """The job whose model beats the request's own model by most on the request's frames (lines 5-9).

    Only gains of at least ``min_gain`` count; ties go to the first id. None: start a new job (line 11).
    The paper asks for a positive gain. Here a job that is exactly as good as the request's own model will
    do by default, because requests of one drift arrive together: the first one's job has not trained yet,
    or not enough to show, and jobs are never merged later. What the metadata grouped wrongly, the
    windows' ends split.
    """
    better = [(-gain, job) for job, gain in gains.items() if gain >= min_gain]
    return min(better)[1] if better else None


def members_to_split(
    previous: Mapping[CameraId, float | None], current: Mapping[CameraId, float | None], threshold: float
) -> list[tuple[CameraId, float]]:
    """Members whose accuracy under the group's model fell by more than ``threshold`` since the last window.

    Largest drop first, then by id. A member measured in only one of the two windows stays: it has just
    joined, or none of its frames arrived, and neither says that it drifted away.
    """
    drops: list[tuple[CameraId, float]] = []
    for camera, now in current.items():
        before = previous.get(camera)
        if before is not None and now is not None and before - now > threshold:
            drops.append((camera, before - now))
    return sorted(drops, key=lambda item: (-item[1], item[0]))
