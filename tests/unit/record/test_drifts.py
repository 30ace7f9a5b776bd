"""What became of each drift: noticed or not, and answered when."""

from __future__ import annotations

import math

import pytest

from ecco_emu.core import events as ev
from ecco_emu.record.drifts import (
    DriftResponse,
    map_after_drift,
    map_before_drift,
    mean_map_drifted,
    response_statistics,
    responses,
    unnoticed_drifts,
)
from ecco_emu.record.metrics import RunMetrics
from tests.unit.record.synthetic import started


def accuracy(t: float, value: float, camera: str = "a") -> ev.Accuracy:
    return ev.Accuracy(t=t, camera=camera, map=value, map50=value, frames=8, model="m0")


def weather(t: float, name: str, camera: str = "a") -> ev.Condition:
    return ev.Condition(t=t, camera=camera, district="d", weather=name)


def asks(t: float) -> ev.RequestSent:
    return ev.RequestSent(t=t, camera="a", model="m0")


def alarm(t: float, camera: str = "a") -> ev.DriftNoticed:
    return ev.DriftNoticed(t=t, camera=camera, detector="adwin", statistic=0.3)


def measured(start: float, end: float, value: float | None, camera: str = "a") -> ev.StudentMeasured:
    return ev.StudentMeasured(
        t=60.0, camera=camera, model="m", start=start, end=end, weather="w", map=value, map50=value, frames=32
    )


def test_accuracy_around_a_drift() -> None:
    metrics = RunMetrics.of(
        [
            weather(0, "day"),
            accuracy(4.0, 0.61),
            weather(5.0, "fog"),
            accuracy(5.0, 0.6),
            accuracy(8.0, 0.12),
            accuracy(11.0, 0.1),
            accuracy(11.1, 0.05),
        ]
    )
    camera = metrics.camera("a")
    assert map_before_drift(camera) == 0.61
    assert map_after_drift(camera) == 0.1


def test_a_camera_without_drift_has_no_accuracy_after_it() -> None:
    metrics = RunMetrics.of([weather(0, "day"), accuracy(1.0, 0.6)])
    assert map_after_drift(metrics.camera("a")) is None
    assert map_before_drift(metrics.camera("a")) is None
    assert mean_map_drifted(metrics) is None


def test_without_weather_the_cameras_own_alarm_is_the_drift() -> None:
    assert map_after_drift(RunMetrics.of([alarm(5.0), accuracy(7.0, 0.2)]).camera("a")) == 0.2


def test_the_mean_over_drifted_cameras_begins_with_their_drifts_and_is_by_time() -> None:
    """a drifts at 10 s and has 0.2 for 30 s, b drifts at 30 s and has 0.6 for 10 s; c never drifts."""
    metrics = RunMetrics.of(
        [
            started(cameras=("a", "b", "c"), windows=2, window_s=20.0),
            *(weather(0, "day", camera) for camera in "abc"),
            weather(10, "fog"),
            weather(30, "night", "b"),
            measured(0, 10, 0.9),
            measured(10, 40, 0.2),
            measured(0, 30, 0.9, "b"),
            measured(30, 40, 0.6, "b"),
            measured(0, 40, 0.9, "c"),
        ]
    )
    assert mean_map_drifted(metrics) == pytest.approx((0.2 * 30 + 0.6 * 10) / 40)


def test_every_drift_has_its_answer_and_a_missing_one_is_censored() -> None:
    metrics = RunMetrics.of(
        [
            started(cameras=("a",), windows=4, window_s=20.0),
            weather(0, "day"),
            weather(10, "fog"),
            asks(13),
            asks(14),  # again, after it dialled anew: the first counts
            weather(40, "night"),
            asks(45),
            weather(70, "rain"),
            measured(0, 10, 0.6),
            measured(10, 30, 0.1),
            measured(30, 40, 0.45),
            measured(40, 70, 0.2),
            measured(70, 80, 0.2),
            ev.RunEnded(t=80.5, status="ok"),
        ]
    )
    assert responses(metrics.camera("a"), metrics.observed_s) == [
        DriftResponse(10, 13, response_s=17),
        DriftResponse(40, 45, censored_s=25),
        DriftResponse(70, None),
    ]
    assert responses(metrics.camera("a"), metrics.observed_s, threshold=0.5)[0] == DriftResponse(
        10, 13, censored_s=27
    )


def test_a_split_by_the_server_stands_for_a_request() -> None:
    metrics = RunMetrics.of(
        [
            weather(0, "day"),
            weather(10, "fog"),
            ev.JobCreated(t=2, job="j", camera="a", model="m", gains={}),
            ev.JobLeft(t=20, job="j", camera="a", drop=0.3),
            measured(10, 25, 0.1),
            measured(25, 40, 0.5),
        ]
    )
    assert responses(metrics.camera("a"), 40.0) == [DriftResponse(10, 20, response_s=5)]
    assert unnoticed_drifts(metrics) == []


def test_without_a_request_there_is_no_response() -> None:
    metrics = RunMetrics.of([accuracy(1, 0.1), accuracy(2, 0.6)])
    assert responses(metrics.camera("a"), 2.0) == []


def test_a_request_without_any_drift_on_record_is_answered_too() -> None:
    metrics = RunMetrics.of([asks(10), accuracy(9, 0.1), accuracy(25, 0.4), accuracy(26, 0.4)])
    assert responses(metrics.camera("a"), 26.0) == [DriftResponse(10, 10, response_s=15)]


def test_a_median_that_counts_the_censored_is_kaplan_meiers() -> None:
    def statistics(answered: list[float], censored: list[float]):  # type: ignore[no-untyped-def]
        found = [DriftResponse(0, 0, response_s=time) for time in answered]
        return response_statistics(found + [DriftResponse(0, 0, censored_s=time) for time in censored])

    # survival after 2: 4/5; after 6: 4/5 * 2/3; after 9: 0. By hand, as in any textbook
    mixed = statistics([2.0, 6.0, 9.0], [3.0, 7.0])
    assert (mixed.answered, mixed.censored, mixed.median_s, mixed.survival_median_s) == (3, 2, 6.0, 9.0)
    few = statistics([5.0], [30.0, 30.0, 30.0])
    assert (few.median_s, few.survival_median_s) == (5.0, None)  # 1 of 4 came back
    none = statistics([], [30.0])
    assert (none.answered, none.censored, none.median_s, none.survival_median_s) == (0, 1, None, None)


def test_a_drift_that_nobody_noticed_is_named_with_what_it_cost() -> None:
    metrics = RunMetrics.of(
        [
            *(weather(0, "day", camera) for camera in "ab"),
            weather(2, "fog"),
            weather(20, "day"),
            weather(20, "fog", "b"),
            alarm(19.9, "b"),
            weather(30, "rain"),
            alarm(31, "a"),
            measured(0, 2, 0.6),
            measured(2, 20, 0.1),
            measured(20, 30, 0.3),  # the fog lifts, which nobody needs to notice
            measured(30, 40, 0.1),
        ]
    )
    first, second = unnoticed_drifts(metrics)
    assert (first.camera, first.t, first.weather, first.map_before, first.map_after) == (
        "a",
        2,
        "fog",
        0.6,
        0.1,
    )
    assert (second.camera, second.t, second.map_before) == ("b", 20, None)


def test_the_time_of_an_interrupted_run_ends_with_its_last_event() -> None:
    metrics = RunMetrics.of(
        [started(cameras=("a",)), weather(0, "day"), weather(10, "fog"), asks(12), asks(33)]
    )
    [response] = responses(metrics.camera("a"), metrics.observed_s)
    assert response.censored_s == 21
    assert math.isfinite(metrics.observed_s)
