"""The share error: how far each group's bandwidth is from its target, in steady state only.

A camera's target is its weighted max-min share of the bottleneck, among cameras of which none can use more
than its uplink carries or its encoder produces. So a camera that is limited by its encoder is held to the
rate that it sends, not to its share, and the others to what it leaves them (``emulation.meters.OwnLimit``
finds such cameras). An error is then the network's: rates that were sent and did not arrive, or that were
shared in other proportions.

An assignment, a camera that starts or stops, or a fault changes targets. Congestion control then has to find
the new rate, and the rates on its way there say nothing about the rate at which it settles. A traffic sample
therefore counts only when nothing has changed for ``SETTLE_S`` before it, and the camera has streamed for
``START_S``. A group counts only when it has ``STEADY_MIN_S`` of such camera-seconds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from ecco_emu.core import events as ev
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.parts import CameraMetrics

SETTLE_S = 3.0
"""Emulated seconds without a change before a sample counts."""
START_S = 8.0
"""Emulated seconds after a camera begins to stream. It begins with slow start, and its first segments are
small and double in size (``camera.budget``); only then does congestion control look for its share."""
STEADY_MIN_S = 5.0
"""Camera-seconds of counted samples that a group needs: fewer are mostly noise."""
SAME_TARGET = 0.01
"""Two targets that differ by less than this fraction of the larger count as the same: small steps of alphas
and of traced links do not unsettle congestion control."""


@dataclass(frozen=True, slots=True)
class GroupShare:
    """One group's mean rates over its cameras' steady samples."""

    job: str
    goodput_bps: float
    """The mean over camera-seconds: the rate of one of its cameras, not of the group."""
    target_bps: float
    """The mean target over the same camera-seconds."""
    error: float
    """``|goodput / target - 1|``."""
    steady_s: float
    """Camera-seconds counted."""


def group_shares(metrics: RunMetrics) -> list[GroupShare]:
    """The groups with enough steady time, in the order in which their jobs were created."""
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
    """The traffic samples whose whole period lies ``SETTLE_S`` or more after the last change of the camera's
    target, of its job and of any link, and ``START_S`` or more after its stream began.

    Samples without a target are left out: the camera was idle or cut off.
    """
    # a camera that leaves a job enters another or becomes idle: joins and targets tell of it
    joined = [stay.start for stay in camera.memberships]
    changes = sorted(fault_times + joined)
    steady: list[ev.Traffic] = []
    target_bps, since, began = 0.0, -math.inf, -math.inf
    for traffic in camera.traffic:
        start = traffic.t - traffic.period_s
        if abs(traffic.target_bps - target_bps) > SAME_TARGET * max(traffic.target_bps, target_bps):
            # a new target is seen only in the sample after the change: that sample's end is on the safe side
            began = traffic.t if target_bps == 0 else began
            target_bps, since = traffic.target_bps, traffic.t
        # up to the sample's end, not its start: a change in the middle of its period spoils it too
        disturbed = max([since, *(change for change in changes if change <= traffic.t)])
        if traffic.target_bps > 0 and start >= max(disturbed + SETTLE_S, began + START_S):
            steady.append(traffic)
    return steady


def _share(job: str, samples: list[ev.Traffic]) -> GroupShare | None:
    steady_s = math.fsum(sample.period_s for sample in samples)
    if steady_s < STEADY_MIN_S:
        return None
    goodput = math.fsum(sample.goodput_bps * sample.period_s for sample in samples) / steady_s
    target = math.fsum(sample.target_bps * sample.period_s for sample in samples) / steady_s
    return GroupShare(job, goodput, target, abs(goodput / target - 1.0), steady_s)
