"""What became of each drift: was it noticed, what did it cost, and how long did the answer take?

A camera's drifts are its weather changes or, where the world tells of none, its detector's alarms. A drift's
time goes on until the camera's next drift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from ecco_emu.core.events import RESPONSE_MEASUREMENTS, RESPONSE_THRESHOLD
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.parts import CameraMetrics

WON_BACK = 0.75
"""The part of its accuracy from which on a camera counts as recovered at a run's end."""
LEAST_FALL = 0.1
"""mAP: 32 frames tell no smaller fall from chance."""
AFTER_DRIFT_S = 6.0
"""Emulated seconds after a drift in which the lowest accuracy is looked for. A glimpse is a mean over the
newest frames, so that a fall takes some seconds to show."""


@dataclass(frozen=True, slots=True)
class DriftResponse:
    """The answer to one drift of a camera. Times are emulated seconds."""

    drift_t: float
    asked_t: float | None
    """When the camera first asked after the drift, or when the server split it off its group, which stands
    for a request; None if neither happened."""
    response_s: float | None = None
    """From ``asked_t`` until the accuracy was back at the threshold. 0 if it was never below."""
    censored_s: float | None = None
    """How long it was waited for in vain: until the next drift or the end of the run."""


@dataclass(frozen=True, slots=True)
class UnnoticedDrift:
    """A change of weather, not for the better, after which no detector raised an alarm and the server did not
    split the camera off."""

    camera: str
    t: float
    weather: str
    map_before: float | None
    map_after: float | None
    """The lowest accuracy within ``AFTER_DRIFT_S``."""


@dataclass(frozen=True, slots=True)
class Fall:
    """A camera whose accuracy is much lower at the run's end than it was before, and so was not won back."""

    camera: str
    map_before: float
    """Just before its first drift; of a camera without one, the first that was measured."""
    map_final: float


def falls(metrics: RunMetrics) -> list[Fall]:
    """The cameras that ended below the run's threshold, at less than ``WON_BACK`` of their accuracy, and
    lower by ``LEAST_FALL``."""
    threshold = metrics.started.response_threshold if metrics.started else RESPONSE_THRESHOLD
    found = []
    for camera in metrics.cameras.values():
        before, final = map_before_drift(camera), camera.map
        if before is None:
            before = next((value for _, value, _ in camera.curve.line() if value is not None), None)
        if before is None or final is None:
            continue
        if final < min(threshold, WON_BACK * before) and before - final >= LEAST_FALL:
            found.append(Fall(camera.id, before, final))
    return found


def drift_times(camera: CameraMetrics) -> list[float]:
    """When its data drifted: its weather changes or, if the world had none, its detector's alarms."""
    changes = [change.t for change in camera.weather_changes]
    return changes or [drift.t for drift in camera.drifts]


def map_before_drift(camera: CameraMetrics) -> float | None:
    """The accuracy just before its first drift."""
    times = drift_times(camera)
    return _before(camera, times[0]) if times else None


def map_after_drift(camera: CameraMetrics) -> float | None:
    """The lowest accuracy within ``AFTER_DRIFT_S`` after any of its drifts."""
    lows = [camera.curve.lowest(t, t + AFTER_DRIFT_S) for t in drift_times(camera)]
    return min((low for low in lows if low is not None), default=None)


def mean_map_drifted(metrics: RunMetrics) -> float | None:
    """The mean accuracy of the cameras that drifted, each from its first drift on.

    Every second of each of these cameras counts the same.
    """
    parts = []
    for camera in metrics.cameras.values():
        times = drift_times(camera)
        value = camera.curve.mean(times[0], math.inf) if times else None
        if value is not None:
            parts.append((value, max(0.0, metrics.observed_s - times[0])))
    total = math.fsum(length for _, length in parts)
    return math.fsum(value * length for value, length in parts) / total if total > 0 else None


def responses(
    camera: CameraMetrics,
    observed_s: float,
    threshold: float = RESPONSE_THRESHOLD,
    measurements: int = RESPONSE_MEASUREMENTS,
) -> list[DriftResponse]:
    """One for each drift of the camera, in order. The run was observed until ``observed_s``."""
    # without any drift in the log there may still be requests
    starts = drift_times(camera) or [request.t for request in camera.requests]
    splits = [stay.end for stay in camera.memberships if stay.ended_by == "drop" and stay.end is not None]
    asked = sorted([request.t for request in camera.requests] + splits)
    found = []
    for start, end in pairwise([*starts, math.inf]):
        asked_t = next((t for t in asked if start <= t < end), None)
        if asked_t is None:
            found.append(DriftResponse(start, None))
            continue
        answered = camera.curve.reached(asked_t, end, threshold, measurements)
        if answered is not None:
            found.append(DriftResponse(start, asked_t, response_s=answered - asked_t))
        else:
            found.append(DriftResponse(start, asked_t, censored_s=max(0.0, min(end, observed_s) - asked_t)))
    return found


def run_responses(metrics: RunMetrics) -> dict[str, list[DriftResponse]]:
    """By camera. The run's own threshold counts."""
    started = metrics.started
    threshold = started.response_threshold if started else RESPONSE_THRESHOLD
    measurements = started.response_measurements if started else RESPONSE_MEASUREMENTS
    return {
        camera.id: responses(camera, metrics.observed_s, threshold, measurements)
        for camera in metrics.cameras.values()
    }


@dataclass(frozen=True, slots=True)
class ResponseStatistics:
    """All answers of a run together."""

    answered: int
    censored: int
    median_s: float | None
    """Over the answered alone: the slow ones are missing in it as long as any is censored."""
    survival_median_s: float | None
    """The median with the censored ones counted for as long as they were observed (Kaplan-Meier); None if
    fewer than half came back."""


def response_statistics(found: Sequence[DriftResponse]) -> ResponseStatistics:
    answered = [each.response_s for each in found if each.response_s is not None]
    censored = [each.censored_s for each in found if each.censored_s is not None]
    return ResponseStatistics(
        answered=len(answered),
        censored=len(censored),
        median_s=median(answered) if answered else None,
        survival_median_s=_survival_median(answered, censored),
    )


def unnoticed_drifts(metrics: RunMetrics) -> list[UnnoticedDrift]:
    """The weather changes that nobody noticed, in order of time."""
    found = [each for camera in metrics.cameras.values() for each in _unnoticed(camera)]
    return sorted(found, key=lambda each: each.t)  # stable: cameras of one moment keep the run's order


def _unnoticed(camera: CameraMetrics) -> list[UnnoticedDrift]:
    noticed = [drift.t for drift in camera.drifts]
    noticed += [stay.end for stay in camera.memberships if stay.ended_by == "drop" and stay.end is not None]
    found = []
    for change, following in pairwise([*camera.weather_changes, None]):
        assert change is not None
        end = math.inf if following is None else following.t
        before = _before(camera, change.t)
        after = camera.curve.lowest(change.t, min(end, change.t + AFTER_DRIFT_S))
        # fog that lifts is no drift: the student does better in the new weather
        better = before is not None and after is not None and after > before
        if not better and not any(change.t <= t < end for t in noticed):
            found.append(UnnoticedDrift(camera.id, change.t, change.weather, before, after))
    return found


def _before(camera: CameraMetrics, t: float) -> float | None:
    # a measurement at the very moment of the drift counts as after it
    return camera.map_at(math.nextafter(t, -math.inf))


def _survival_median(answered: Sequence[float], censored: Sequence[float]) -> float | None:
    if not answered:
        return None
    from scipy.stats import (
        CensoredData,
        ecdf,
    )  # here: the import takes a second, which most commands need not wait

    survival = ecdf(CensoredData(uncensored=answered, right=censored)).sf
    half = [
        float(time)
        for time, share in zip(survival.quantiles, survival.probabilities, strict=True)
        if share <= 0.5
    ]
    return half[0] if half else None
