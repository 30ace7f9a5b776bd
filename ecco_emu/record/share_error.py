"""Did a group get the bandwidth it was promised? Goodput against target, in steady state only.

A camera's target is its weighted max-min share of the bottleneck. Right after that changes (an
assignment, a camera that starts or stops, a fault), congestion control has to find the new rate,
which says nothing of where it settles. So a traffic sample counts only while nothing has changed for
``SETTLE_S``, and a group only with ``STEADY_MIN_S`` of such camera-seconds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from ecco_emu.core import events as ev
from ecco_emu.record.metrics import CameraMetrics, RunMetrics

SETTLE_S = 3.0
STEADY_MIN_S = 5.0
SAME_TARGET = 0.01
"""Targets closer than this, relatively, are the same target."""


@dataclass(frozen=True, slots=True)
class GroupShare:
    """One group's mean rates, summed over its cameras' steady samples."""

    job: str
    goodput_bps: float
    """Mean over camera-seconds: what one of its cameras got."""
    target_bps: float
    error: float
    """``|goodput / target - 1|``."""
    steady_s: float
    """Camera-seconds counted."""


def group_shares(metrics: RunMetrics) -> list[GroupShare]:
    """The groups that had enough steady time, in the order their jobs were made."""
    samples: dict[str, list[ev.Traffic]] = defaultdict(list)
    fault_times = [fault.applied for fault in metrics.faults]
    for camera in metrics.cameras.values():
        for traffic in steady_samples(camera, fault_times):
            job = camera.job_at(traffic.t)
            if job is not None:
                samples[job].append(traffic)
    shares = (_share(job, samples[job]) for job in metrics.jobs if job in samples)
    return [share for share in shares if share is not None]


def steady_samples(camera: CameraMetrics, fault_times: list[float]) -> list[ev.Traffic]:
    """Traffic samples whose whole period lies at least ``SETTLE_S`` after the last change of the camera's
    target, of its job, and of any link."""
    joined = [stay.start for stay in camera.memberships]
    changes = sorted(fault_times + joined)
    steady: list[ev.Traffic] = []
    target_bps, since = 0.0, -math.inf
    for traffic in camera.traffic:
        start = traffic.t - traffic.period_s
        if abs(traffic.target_bps - target_bps) > SAME_TARGET * max(traffic.target_bps, target_bps):
            target_bps, since = traffic.target_bps, traffic.t
        disturbed = max([since, *(change for change in changes if change <= traffic.t)])
        if traffic.target_bps > 0 and start >= disturbed + SETTLE_S:
            steady.append(traffic)
    return steady


def _share(job: str, samples: list[ev.Traffic]) -> GroupShare | None:
    steady_s = math.fsum(sample.period_s for sample in samples)
    if steady_s < STEADY_MIN_S:
        return None
    goodput = math.fsum(sample.goodput_bps * sample.period_s for sample in samples) / steady_s
    target = math.fsum(sample.target_bps * sample.period_s for sample in samples) / steady_s
    return GroupShare(job, goodput, target, abs(goodput / target - 1.0), steady_s)
