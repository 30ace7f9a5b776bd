"""A run in plain sentences, for a reader who has never seen the system."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from ecco_emu.record.metrics import CameraMetrics, JobMetrics, RunMetrics
from ecco_emu.record.summary import drift_times, map_after_drift, map_before_drift, response_time_s

MOST_TURNS = 4
"""With more weather changes than this, cameras are listed by weather, not by change."""
MOST_JOBS = 6
"""Retraining jobs after this many are only counted."""


def story(metrics: RunMetrics) -> list[str]:
    """The sentences, in this order: setting, drift, groups, accuracy, network, expectations."""
    parts = [_setting(metrics), _drift(metrics), _groups(metrics)]
    return [sentence for sentence in parts if sentence] + outcome(metrics)


def outcome(metrics: RunMetrics) -> list[str]:
    """Only the sentences on the outcome: accuracy, network, expectations."""
    parts = [_accuracy(metrics), _network(metrics), _expectations(metrics)]
    return [sentence for sentence in parts if sentence]


def _setting(metrics: RunMetrics) -> str:
    started = metrics.started
    if started is None:
        return "The run's log does not say how it began."
    gpus = f"{started.gpus} GPU{'s' * (started.gpus != 1)}"
    return (
        f"{_count(len(metrics.cameras), 'camera')} sent video to one edge server with {gpus} during "
        f"{_count(started.windows, 'retraining window')} of {started.window_s:g} s, under the policy "
        f"{started.policy}."
    )


def _drift(metrics: RunMetrics) -> str:
    changes = [
        (x.weather, x.t, x.camera) for camera in metrics.cameras.values() for x in camera.weather_changes
    ]
    if not changes:
        alarmed = [camera.id for camera in metrics.cameras.values() if camera.drifts]
        return f"Drift was noticed by {listed(alarmed)}." if alarmed else "Nothing drifted."
    told = _turns(changes, exact=len({(weather, t) for weather, t, _ in changes}) <= MOST_TURNS)
    steady = [camera.id for camera in metrics.cameras.values() if not drift_times(camera)]
    rest = f" Nothing changed for {listed(steady)}." if steady else ""
    return f"What drifted: {'; '.join(told)}.{rest}"


def _turns(changes: Sequence[tuple[str, float, str]], *, exact: bool) -> list[str]:
    """Sentences on ``(weather, time, camera)``: which cameras saw which weather from when.

    If not ``exact``, all changes to one weather share a sentence, whatever their times.
    """
    turns: dict[tuple[str, float], list[tuple[float, str]]] = {}
    for weather, t, camera in sorted(changes, key=lambda change: change[1]):
        turns.setdefault((weather, t if exact else 0.0), []).append((t, camera))
    told = []
    for (weather, _), saw in turns.items():
        first, last = saw[0][0], saw[-1][0]
        span = f"from {first:g} s" if first == last else f"from {first:g} to {last:g} s on"
        told.append(f"{listed(list(dict.fromkeys(camera for _, camera in saw)))} saw {weather} {span}")
    return told


def _groups(metrics: RunMetrics) -> str:
    jobs = [job for job in metrics.jobs.values() if job.stays]
    told = [_job(job) for job in jobs[:MOST_JOBS]]
    if len(jobs) > MOST_JOBS:
        told.append(f"and {_count(len(jobs) - MOST_JOBS, 'more job')}")
    return f"Who was retrained together: {'; '.join(told)}." if told else ""


def _job(job: JobMetrics) -> str:
    cameras = list(dict.fromkeys(stay.camera for stay in job.stays))
    who = f"{listed(cameras)} shared" if len(cameras) > 1 else f"{cameras[0]} alone had"
    return f"{who} {job.id} ({_count(len(job.micro_windows), 'micro-window')} of GPU time)"


def _accuracy(metrics: RunMetrics) -> str:
    drifted = [camera for camera in metrics.cameras.values() if drift_times(camera)]
    before = _mean([map_before_drift(camera) for camera in drifted])
    worst = _mean([map_after_drift(camera) for camera in drifted])
    final = _mean([camera.map for camera in drifted])
    if before is None or worst is None or final is None:
        return ""
    sentence = (
        f"Accuracy (mAP) of the cameras that drifted, on average: {before:.2f} before, {worst:.2f} at worst "
        f"just after, {final:.2f} at the end."
    )
    return sentence + _answered(drifted)


def _answered(drifted: Sequence[CameraMetrics]) -> str:
    times = [time for camera in drifted if (time := response_time_s(camera)) is not None]
    asked = sum(bool(camera.requests) for camera in drifted)
    if not asked:
        return ""
    mean = f" after {fmean(times):.0f} s on average" if times else ""
    asking = _count(asked, "camera")
    return f" Of {asking} that asked for retraining, {len(times)} came back to an accuracy of 0.4{mean}."


def _network(metrics: RunMetrics) -> str:
    done = metrics.segments_delivered + metrics.segments_late + metrics.segments_lost
    if not done:
        return ""
    links = list(dict.fromkeys(fault.on for fault in metrics.faults))
    faults = f" while faults hit {listed(links)}" if links else ""
    return (
        f"Of {done} one-second video segments, {metrics.segments_delivered} arrived in time, "
        f"{metrics.segments_late} late and {metrics.segments_lost} never{faults}."
    )


def _expectations(metrics: RunMetrics) -> str:
    if not metrics.expectations:
        return ""
    held = sum(checked.held for checked in metrics.expectations)
    return f"{held} of {_count(len(metrics.expectations), 'expectation')} held."


def listed(names: Sequence[str], most: int = 6) -> str:
    """``a, b and c``. Names after the first ``most`` are only counted."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "nobody"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
