"""summary.json: a run in numbers (docs/reference/report.md says what each key means).

Pure functions of ``RunMetrics``. A figure that was not measured is None, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

import msgspec

from ecco_emu.core import events as ev
from ecco_emu.record.drifts import (
    DriftResponse,
    drift_times,
    falls,
    map_after_drift,
    map_before_drift,
    mean_map_drifted,
    response_statistics,
    run_responses,
    unnoticed_drifts,
)
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.parts import CameraMetrics, JobMetrics
from ecco_emu.record.share_error import group_shares
from ecco_emu.record.verdict import recorded

SUMMARY_VERSION = 1


def summarize(metrics: RunMetrics, status: ev.RunStatus) -> dict[str, Any]:
    """The content of summary.json: JSON values only, all numbers finite. Rates are emulated bit/s."""
    responses = run_responses(metrics)
    cameras = {
        camera.id: _camera(camera, metrics, responses[camera.id]) for camera in metrics.cameras.values()
    }
    by_window = map_by_window(metrics)
    shares = group_shares(metrics)
    started = metrics.started
    verdict = recorded(metrics, status)
    summary = {
        "version": SUMMARY_VERSION,
        "status": status,
        "reasons": [msgspec.to_builtins(reason) for reason in verdict.reasons],
        "suggested_dilation": verdict.suggested_dilation,
        "name": started.name if started else None,
        "policy": started.policy if started else None,
        "engine": started.engine if started else None,
        "dilation": started.dilation if started else None,
        "trainer": started.trainer if started else None,
        "gpus": started.gpus if started else None,
        "seed": started.seed if started else None,
        "duration_s": metrics.t,
        "accuracy": _accuracy_source(metrics),
        "mean_map": _mean(by_window),
        "mean_map_drifted": mean_map_drifted(metrics),
        "map_by_window": by_window,
        "windows": [_window(window) for window in metrics.windows],
        "cameras": cameras,
        "response": _response(metrics, [each for found in responses.values() for each in found]),
        "falls": [asdict(each) for each in falls(metrics)],
        "unnoticed_drifts": [asdict(each) for each in unnoticed_drifts(metrics)],
        "jobs": [_job(job) for job in metrics.jobs.values()],
        "gpu_time": gpu_time(metrics),
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
    """``(start, end)`` of every retraining window that has begun, in emulated seconds.

    The last window of a run has no end: a run's closing measurements come just after it and belong to it.
    """
    if metrics.started is None:
        return []
    length = metrics.started.window_s
    starts = [i * length for i in range(metrics.started.windows) if i * length <= metrics.t]
    spans = [(start, start + length) for start in starts]
    if len(spans) == metrics.started.windows:
        spans[-1] = (spans[-1][0], math.inf)
    return spans


def camera_map_by_window(camera: CameraMetrics, metrics: RunMetrics) -> list[float | None]:
    """By window, the camera's mean accuracy in it; None where nothing was measured."""
    return [camera.curve.mean(start, end) for start, end in windows_begun(metrics)]


def map_by_window(metrics: RunMetrics) -> list[float | None]:
    """By window, the mean over cameras of their mean accuracy in it: each camera counts the same."""
    by_camera = [camera_map_by_window(camera, metrics) for camera in metrics.cameras.values()]
    return [_mean(values) for values in zip(*by_camera, strict=True)]


@dataclass(frozen=True, slots=True)
class GpuTime:
    """How one micro-window of the GPUs was spent, as fractions of its time. None: not in the log."""

    train: float
    evaluate: float | None
    label: float | None
    charged: float | None
    """The part of the budget that evaluation and labelling were charged for."""


def gpu_time_of(micro: ev.MicroWindow, started: ev.RunStarted) -> GpuTime:
    wall_s = started.micro_s * started.dilation
    if micro.budget <= 0:  # a log of an earlier release: it tells of training alone
        return GpuTime(micro.train_wall_s / wall_s, None, None, None)
    return GpuTime(
        train=micro.train_wall_s / wall_s,
        evaluate=micro.evaluate_wall_s / wall_s,
        label=micro.label_wall_s / wall_s,
        charged=micro.charged / micro.budget,
    )


def used_micro_windows(metrics: RunMetrics) -> list[ev.MicroWindow]:
    """Those that trained a job, or paid for measuring."""
    return [micro for micro in metrics.micro_windows if micro.job is not None or micro.charged > 0]


def gpu_time(metrics: RunMetrics) -> dict[str, float | None]:
    """The means over the micro-windows that were used."""
    started = metrics.started
    used = used_micro_windows(metrics)
    spent = [gpu_time_of(micro, started) for micro in used] if started is not None else []
    return {
        "train": _mean(each.train for each in spent),
        "evaluate": _mean(each.evaluate for each in spent),
        "label": _mean(each.label for each in spent),
        "charged": _mean(each.charged for each in spent),
    }


def _accuracy_source(metrics: RunMetrics) -> str | None:
    cameras = metrics.cameras.values()
    if any(camera.measured for camera in cameras):
        return "students"
    return "glimpses" if any(camera.accuracy for camera in cameras) else None


def _response(metrics: RunMetrics, found: Sequence[DriftResponse]) -> dict[str, Any]:
    started = metrics.started
    return {
        "threshold": started.response_threshold if started else None,
        "measurements": started.response_measurements if started else None,
        **asdict(response_statistics(found)),
    }


def _job(job: JobMetrics) -> dict[str, Any]:
    return {
        "id": job.id,
        "created": job.created,
        "ended": job.ended.t if job.ended else None,
        "reason": job.ended.reason if job.ended else None,
        "micro_windows": len(job.micro_windows),
        "stays": [
            {"camera": stay.camera, "start": stay.start, "end": stay.end, "reason": stay.ended_by}
            for stay in job.stays
        ],
    }


def _camera(camera: CameraMetrics, metrics: RunMetrics, responses: Sequence[DriftResponse]) -> dict[str, Any]:
    streaming = [traffic for traffic in camera.traffic if traffic.target_bps > 0]
    return {
        "map": camera_map_by_window(camera, metrics),
        "map_before_drift": map_before_drift(camera),
        "map_after_drift": map_after_drift(camera),
        "map_final": camera.map,
        "drift_times_s": drift_times(camera),
        "requests": len(camera.requests),
        "requests_deferred": len(camera.deferred),
        "requests_refused": len(camera.refused),
        "response_time_s": responses[0].response_s if responses else None,
        "responses": [asdict(each) for each in responses],
        "goodput_bps": _weighted([(t.goodput_bps, t.period_s) for t in streaming]),
        "target_bps": _weighted([(t.target_bps, t.period_s) for t in streaming]),
        "segments_sent": camera.segments_sent,
        "segments_delivered": camera.segments_delivered,
        "segments_late": camera.segments_late,
        "segments_lost": camera.segments_lost,
        # by bits sent, not by time: a second with few packets says little about the path
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
    """The newest report's figures: every report covers the whole run so far."""
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
    """The mean of ``(value, weight)`` pairs by weight; None when the weights sum to 0."""
    total = math.fsum(weight for _, weight in pairs)
    return math.fsum(value * weight for value, weight in pairs) / total if total > 0 else None


def finite(value: Any) -> Any:
    """The same JSON value with every number rounded to 6 digits after the point; one that is not finite
    becomes None, as JSON has no NaN."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return value
