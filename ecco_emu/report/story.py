"""A run in plain sentences, for a reader who has never seen the system."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from ecco_emu.core.events import RESPONSE_THRESHOLD
from ecco_emu.record.drifts import (
    Fall,
    ResponseStatistics,
    drift_times,
    falls,
    map_after_drift,
    map_before_drift,
    response_statistics,
    run_responses,
    unnoticed_drifts,
)
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.parts import JobMetrics, Membership

MOST_TURNS = 4
"""With more weather changes than this, cameras are listed by weather, not by change."""
MOST_JOBS = 6
"""Retraining jobs after this many are only counted."""
MOST_FALLS = 6
"""Cameras that fell, after this many, are only counted."""
MOST_UNNOTICED = 4
"""Drifts that nobody noticed, after this many, are only counted."""
LEFT = {
    "drop": "split off as its accuracy fell",
    "asked again": "left to ask again",
    "no better": "left as the group did not help it",
    "released": "was released",
    "gone": "was lost",
    "another job": "moved to another job",
}
"""Why a stay in a group ended."""


def story(metrics: RunMetrics) -> list[str]:
    """The sentences, in this order: setting, drift, requests, groups, accuracy, network, expectations."""
    parts = [
        _setting(metrics), _drift(metrics), _unnoticed(metrics), _requests(metrics), _groups(metrics),
        _partings(metrics),
    ]  # fmt: skip
    return [sentence for sentence in parts if sentence] + outcome(metrics)


def outcome(metrics: RunMetrics) -> list[str]:
    """Only the sentences on the outcome: accuracy, network, expectations."""
    parts = [_accuracy(metrics), _falls(metrics), _network(metrics), _expectations(metrics)]
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


def _unnoticed(metrics: RunMetrics) -> str:
    missed = unnoticed_drifts(metrics)
    told = []
    for each in missed[:MOST_UNNOTICED]:
        cost = ""
        if each.map_before is not None and each.map_after is not None:
            cost = f" (mAP {each.map_before:.2f} before, {each.map_after:.2f} after)"
        told.append(f"{each.camera} turned to {each.weather} at {each.t:g} s{cost}")
    if len(missed) > MOST_UNNOTICED:
        told.append(f"and {len(missed) - MOST_UNNOTICED} more")
    return f"Nobody noticed: {'; '.join(told)}." if told else ""


def _requests(metrics: RunMetrics) -> str:
    """Only of requests that did not lead into a job at once, or were not a camera's first."""
    cameras = list(metrics.cameras.values())
    parts = (
        ("asked more than once", [camera.id for camera in cameras if len(camera.requests) > 1]),
        (
            "had to wait until a job's gain could be told",
            [camera.id for camera in cameras if camera.deferred],
        ),
        ("had a request refused", [camera.id for camera in cameras if camera.refused]),
    )
    told = [f"{listed(names)} {what}" for what, names in parts if names]
    return f"Requests: {'; '.join(told)}." if told else ""


def _partings(metrics: RunMetrics) -> str:
    """Who left a group before its job ended, and which jobs ended."""
    stays = [
        stay
        for job in metrics.jobs.values()
        for stay in job.stays
        if stay.ended_by is not None and not (stay.ended_by == "released" and job.ended is not None)
    ]
    left = sorted(stays, key=lambda stay: stay.end or 0.0)
    told = [_parting(stay) for stay in left[:MOST_JOBS]]
    if len(left) > MOST_JOBS:
        told.append(f"{len(left) - MOST_JOBS} more left a group")
    ended = [job for job in metrics.jobs.values() if job.ended is not None]
    told += [
        f"{job.id} ended at {job.ended.t:.0f} s: {job.ended.reason}" for job in ended[:MOST_JOBS] if job.ended
    ]
    if len(ended) > MOST_JOBS:
        told.append(f"{_count(len(ended) - MOST_JOBS, 'more job')} ended")
    return f"How groups changed: {'; '.join(told)}." if told else ""


def _parting(stay: Membership) -> str:
    return f"{stay.camera} was in {stay.job} until {stay.end or 0.0:.0f} s ({LEFT[stay.ended_by or 'drop']})"


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
    return sentence + _answered(metrics)


def _answered(metrics: RunMetrics) -> str:
    found = [each for responses in run_responses(metrics).values() for each in responses]
    statistics = response_statistics(found)
    asked = statistics.answered + statistics.censored
    if not asked:
        return ""
    threshold = metrics.started.response_threshold if metrics.started else RESPONSE_THRESHOLD
    return (
        f" Of {_count(asked, 'drift')} for which a camera asked for retraining, {statistics.answered} were "
        f"answered: accuracy was back at {threshold:g}{median_words(statistics)}."
    )


def median_words(statistics: ResponseStatistics) -> str:
    """After "so many were answered": how long it took, in words that hide no drift without an answer.

    A median over the answered alone would be the better, the fewer were answered.
    """
    if not statistics.answered:
        return ""
    if not statistics.censored:
        return f" after {statistics.median_s:.0f} s (median)"
    if statistics.survival_median_s is not None:
        return f" after {statistics.survival_median_s:.0f} s (median, the others counted)"
    alone = f"the answered alone: {statistics.median_s:.0f} s"
    return f"; half or more never were, so that no median is known ({alone})"


def _falls(metrics: RunMetrics) -> str:
    return fall_words(falls(metrics))


def fall_words(fallen: Sequence[Fall]) -> str:
    """A sentence on cameras that ended much worse than they began; empty without any."""
    told = [
        f"{each.camera} fell from {each.map_before:.2f} to {each.map_final:.2f}"
        for each in fallen[:MOST_FALLS]
    ]
    if len(fallen) > MOST_FALLS:
        told.append(f"and {len(fallen) - MOST_FALLS} more")
    return f"Accuracy (mAP) that was not won back: {'; '.join(told)}." if told else ""


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
