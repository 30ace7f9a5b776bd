"""summary.json: a run in numbers (docs/reference/report.md says what each key means).

Pure functions of ``RunMetrics``. What was not measured is None, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Any, Literal

from ecco_emu.core import events as ev
from ecco_emu.record.metrics import CameraMetrics, RunMetrics, between, latest
from ecco_emu.record.share_error import group_shares

Status = Literal["ok", "failed", "degraded", "interrupted"]

SUMMARY_VERSION = 1
RESPONSE_THRESHOLD = 0.4
"""The accuracy (mAP) at which a retraining request counts as answered (paper, figures 7 and 13)."""
AFTER_DRIFT_S = 6.0
"""How long after a weather change the lowest accuracy is looked for."""


def summarize(metrics: RunMetrics, status: Status) -> dict[str, Any]:
    """The content of summary.json: JSON values only, numbers finite."""
    cameras = {camera.id: _camera(camera, metrics) for camera in metrics.cameras.values()}
    by_window = map_by_window(metrics)
    shares = group_shares(metrics)
    started = metrics.started
    summary = {
        "version": SUMMARY_VERSION,
        "status": status,
        "name": started.name if started else None,
        "policy": started.policy if started else None,
        "engine": started.engine if started else None,
        "dilation": started.dilation if started else None,
        "trainer": started.trainer if started else None,
        "gpus": started.gpus if started else None,
        "seed": started.seed if started else None,
        "duration_s": metrics.t,
        "mean_map": _mean(by_window),
        "map_by_window": by_window,
        "windows": [_window(window) for window in metrics.windows],
        "cameras": cameras,
        "share_error": max((share.error for share in shares), default=None),
        "shares": [
            {
                "id": share.job,
                "goodput_bps": share.goodput_bps,
                "target_bps": share.target_bps,
                "error": share.error,
                "steady_s": share.steady_s,
            }
            for share in shares
        ],
        "faults": [_fault(fault) for fault in metrics.faults],
        "expectations": [_expectation(checked) for checked in metrics.expectations],
        "clock": _clock(metrics),
        "peak_rss_bytes": max((clock.rss_bytes for clock in metrics.clocks), default=None),
        "troubles": len(metrics.troubles),
    }
    cleaned: dict[str, Any] = finite(summary)
    return cleaned


def windows_begun(metrics: RunMetrics) -> list[tuple[float, float]]:
    """``(start, end)`` of every retraining window that has begun. The last takes in what was measured
    just after its end, as a run's closing measurement is."""
    if metrics.started is None:
        return []
    length = metrics.started.window_s
    starts = [i * length for i in range(metrics.started.windows) if i * length <= metrics.t]
    spans = [(start, start + length) for start in starts]
    if len(spans) == metrics.started.windows:
        spans[-1] = (spans[-1][0], math.inf)
    return spans


def camera_map_by_window(camera: CameraMetrics, metrics: RunMetrics) -> list[float | None]:
    """The mean of the accuracies measured in each window; None where there was none."""
    return [
        _mean(point.map for point in camera.accuracy if start <= point.t < end)
        for start, end in windows_begun(metrics)
    ]


def map_by_window(metrics: RunMetrics) -> list[float | None]:
    """The mean over cameras of their accuracy in each window."""
    by_camera = [camera_map_by_window(camera, metrics) for camera in metrics.cameras.values()]
    return [_mean(values) for values in zip(*by_camera, strict=True)]


def drift_times(camera: CameraMetrics) -> list[float]:
    """When its data drifted: its weather changes or, where the world tells of none, its own alarms."""
    changes = [change.t for change in camera.weather_changes]
    return changes or [drift.t for drift in camera.drifts]


def map_before_drift(camera: CameraMetrics) -> float | None:
    """The newest accuracy measured before its first drift."""
    times = drift_times(camera)
    return camera.map_at(math.nextafter(times[0], -math.inf)) if times else None


def map_after_drift(camera: CameraMetrics) -> float | None:
    """The lowest accuracy measured within ``AFTER_DRIFT_S`` after any of its drifts."""
    points = [p for t in drift_times(camera) for p in between(camera.accuracy, t, t + AFTER_DRIFT_S)]
    return min((point.map for point in points), default=None)


def response_time_s(camera: CameraMetrics, threshold: float = RESPONSE_THRESHOLD) -> float | None:
    """From its first retraining request until its accuracy has come back to ``threshold``.

    Accuracy is measured over the newest frames, so at the request it may not have fallen yet: what counts
    is the first measurement at or above the threshold after one below it. 0 when none was ever below;
    None without a request, without a measurement after it, or when the threshold was never reached.
    """
    if not camera.requests:
        return None
    asked = camera.requests[0].t
    after = [point for point in camera.accuracy if point.t >= asked]
    before = latest(camera.accuracy, asked)
    if not after:
        return None
    fallen_at = next((p.t for p in ([before] if before else []) + after if p.map < threshold), None)
    if fallen_at is None:
        return 0.0
    return next((p.t - asked for p in after if p.t >= fallen_at and p.map >= threshold), None)


def _camera(camera: CameraMetrics, metrics: RunMetrics) -> dict[str, Any]:
    streaming = [traffic for traffic in camera.traffic if traffic.target_bps > 0]
    return {
        "map": camera_map_by_window(camera, metrics),
        "map_before_drift": map_before_drift(camera),
        "map_after_drift": map_after_drift(camera),
        "map_final": camera.map,
        "drift_times_s": drift_times(camera),
        "requests": len(camera.requests),
        "response_time_s": response_time_s(camera),
        "goodput_bps": _weighted([(t.goodput_bps, t.period_s) for t in streaming]),
        "target_bps": _weighted([(t.target_bps, t.period_s) for t in streaming]),
        "segments_sent": camera.segments_sent,
        "segments_delivered": camera.segments_delivered,
        "segments_late": camera.segments_late,
        "segments_lost": camera.segments_lost,
        "loss": _weighted([(t.loss, t.sent_bps * t.period_s) for t in camera.traffic]),
        "cuts": sum(t.cuts for t in camera.traffic),
        "spurious_retransmissions": sum(t.spurious for t in camera.traffic),
        "stale_drops": sum(t.stale for t in camera.traffic),
        "rtt_ms": median(rtts) if (rtts := [t.rtt_ms for t in streaming if t.rtt_ms > 0]) else None,
    }


def _window(window: ev.WindowEnded) -> dict[str, Any]:
    groups = [
        {
            "id": group.id,
            "members": list(group.members),
            "micro_windows": group.micro_windows,
            "p": group.p,
            "c": group.c,
            "map": group.map,
        }
        for group in window.groups
    ]
    return {"start": window.start, "groups": groups}


def _fault(fault: ev.FaultApplied) -> dict[str, Any]:
    return {
        "index": fault.index,
        "on": fault.on,
        "action": fault.action,
        "phase": fault.phase,
        "requested": fault.requested,
        "applied": fault.applied,
    }


def _expectation(checked: ev.ExpectationChecked) -> dict[str, Any]:
    return {"index": checked.index, "text": checked.text, "held": checked.held, "detail": checked.detail}


def _clock(metrics: RunMetrics) -> dict[str, Any]:
    """Every report covers the run so far, so the newest is the run's."""
    last = metrics.clocks[-1] if metrics.clocks else None
    return {
        "lag_p50_ms": last.lag_p50_ms if last else None,
        "lag_p99_ms": last.lag_p99_ms if last else None,
        "lag_max_ms": last.lag_max_ms if last else None,
        "deadline_misses": last.deadline_misses if last else 0,
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _weighted(pairs: Sequence[tuple[float, float]]) -> float | None:
    """The mean of values by their weights; None where no weight is left."""
    total = math.fsum(weight for _, weight in pairs)
    return math.fsum(value * weight for value, weight in pairs) / total if total > 0 else None


def finite(value: Any) -> Any:
    """Numbers rounded to what was measured (6 digits after the point); one that is none becomes None."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return value
