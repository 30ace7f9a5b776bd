import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.core import events as ev
from ecco_emu.core.errors import ScenarioError
from ecco_emu.record.metrics import RunMetrics
from tests.unit.record.synthetic import started, story


def accuracy(t: float, value: float, camera: str = "a") -> ev.Accuracy:
    return ev.Accuracy(t=t, camera=camera, map=value, map50=value, frames=8, model="m0")


def segment(t: float, state: str, camera: str = "a", sequence: int = 0) -> ev.SegmentMoved:
    return ev.SegmentMoved(t=t, camera=camera, sequence=sequence, state=state, frames=5, bytes=9)  # type: ignore[arg-type]


def test_a_run_begins_with_its_cameras_idle_and_unmeasured() -> None:
    metrics = RunMetrics.of([started(cameras=("b", "a"))])
    assert list(metrics.cameras) == ["b", "a"]
    camera = metrics.camera("a")
    assert (camera.state, camera.map, camera.model, camera.job, camera.weather) == (
        "idle",
        None,
        None,
        None,
        None,
    )
    assert metrics.mean_map is None
    assert metrics.duration_s == 60.0


def test_an_unknown_camera_or_job_is_named_with_the_known_ones() -> None:
    metrics = RunMetrics.of([started(cameras=("a", "b"))])
    with pytest.raises(ScenarioError, match="no camera 'c' in this run; it has: a, b"):
        metrics.camera("c")
    with pytest.raises(ScenarioError, match="none yet"):
        metrics.job("j")


def test_accuracy_at_a_time_is_the_newest_measured_by_then() -> None:
    metrics = RunMetrics.of(
        [accuracy(1.0, 0.5), accuracy(3.0, 0.2), accuracy(2.0, 0.4), accuracy(4.0, math.nan)]
    )
    camera = metrics.camera("a")
    assert [camera.map_at(t) for t in (0.9, 1.0, 2.5, 3.0, 99.0)] == [None, 0.5, 0.4, 0.2, 0.2]
    assert metrics.t == 4.0


def test_mean_accuracy_leaves_out_cameras_not_yet_measured() -> None:
    metrics = RunMetrics.of([started(cameras=("a", "b", "c")), accuracy(1.0, 0.4), accuracy(2.0, 0.6, "b")])
    assert metrics.mean_map_at(1.5) == 0.4
    assert metrics.mean_map == pytest.approx(0.5)


def test_segments_are_counted_by_fate_and_time() -> None:
    metrics = RunMetrics.of(
        [
            segment(1, "sent"),
            segment(2, "delivered"),
            segment(3, "late"),
            segment(4, "lost"),
            segment(5, "delivered"),
        ]
    )
    camera = metrics.camera("a")
    assert camera.segments_delivered_between(2, 5) == 2
    assert camera.segments_delivered_between(2.1, 4.9) == 0
    totals = metrics.segments_sent, metrics.segments_delivered, metrics.segments_late, metrics.segments_lost
    assert totals == (1, 2, 1, 1)


def test_a_camera_is_in_one_group_at_a_time() -> None:
    metrics = RunMetrics.of(
        [
            ev.JobCreated(t=1, job="j1", camera="a", model="m", gains={}),
            ev.JobJoined(t=2, job="j1", camera="b", gains={"j1": 0.1}),
            ev.JobJoined(t=2.5, job="j1", camera="b", gains={"j1": 0.1}),
            ev.JobCreated(t=5, job="j2", camera="b", model="m", gains={"j1": -0.1}),
            ev.JobLeft(t=6, job="j1", camera="b", drop=0.1),
            ev.JobLeft(t=7, job="j2", camera="b", drop=0.1),
        ]
    )
    assert metrics.job("j1").members == ["a"]
    assert metrics.job("j2").members == []
    b = metrics.camera("b")
    assert [(stay.job, stay.start, stay.end) for stay in b.memberships] == [("j1", 2, 5), ("j2", 5, 7)]
    assert [b.job_at(t) for t in (1, 2, 4.9, 5, 7)] == [None, "j1", "j1", "j2", None]
    assert b.job is None
    assert metrics.camera("a").job == "j1"


def test_a_stay_says_why_it_ended() -> None:
    metrics = RunMetrics.of(
        [
            ev.JobCreated(t=1, job="j1", camera="a", model="m", gains={}),
            ev.JobJoined(t=2, job="j1", camera="b", gains={}),
            ev.JobJoined(t=2, job="j1", camera="c", gains={}),
            ev.JobJoined(t=2, job="j1", camera="d", gains={}),
            ev.JobLeft(t=3, job="j1", camera="b", reason="no better"),
            ev.JobJoined(t=4, job="j2", camera="c", gains={}),
            ev.JobLeft(t=5, job="j1", camera="a", reason="released"),
            ev.JobEnded(t=5, job="j1", reason="recovered"),
        ]
    )
    ends = [(stay.camera, stay.end, stay.ended_by) for stay in metrics.job("j1").stays]
    assert ends == [
        ("a", 5, "released"),
        ("b", 3, "no better"),
        ("c", 4, "another job"),
        ("d", 5, "released"),
    ]
    ended = metrics.job("j1").ended
    assert ended is not None
    assert (ended.t, ended.reason) == (5, "recovered")
    assert metrics.job("j1").members == []
    assert metrics.job("j2").members == ["c"]


def test_requests_that_waited_or_were_refused_are_kept() -> None:
    waits = ev.RequestDeferred(t=1, camera="a", gains={"j1": 0.0}, times=1)
    refused = ev.RequestRefused(t=2, camera="a", reason="full")
    camera = RunMetrics.of([waits, refused]).camera("a")
    assert (camera.deferred, camera.refused) == ([waits], [refused])


def test_live_the_newest_glimpse_is_the_accuracy_and_after_measuring_the_measured_one() -> None:
    metrics = RunMetrics.of([accuracy(1.0, 0.5), accuracy(3.0, 0.2)])
    assert metrics.camera("a").map == 0.2
    for start, end, value in ((2.0, 4.0, 0.3), (0.0, 2.0, 0.6)):  # whatever their order in the log
        metrics.apply(
            ev.StudentMeasured(
                t=4.0,
                camera="a",
                model="m",
                start=start,
                end=end,
                weather="day",
                map=value,
                map50=value,
                frames=32,
            )
        )
    assert metrics.camera("a").map == 0.3
    assert metrics.camera("a").map_at(1.0) == 0.6
    assert metrics.mean_map == 0.3


def test_a_job_keeps_its_newest_share_estimate_and_accuracy() -> None:
    state = ev.GroupState(id="j1", members=["a"], micro_windows=3, p=0.7, c=7.0, map=0.33)
    metrics = RunMetrics.of(
        [
            ev.Assigned(t=1, job="j1", members=["a"], c=5.0, p=0.5),
            ev.MicroWindow(t=2, window=0, index=0, start=0, job="j1", map_after=0.2),
            ev.MicroWindow(t=4, window=0, index=1, start=2, job=None),
            ev.WindowEnded(t=20, window=0, start=0, groups=[state]),
        ]
    )
    job = metrics.job("j1")
    assert (job.p, job.c, job.map, len(job.micro_windows)) == (0.7, 7.0, 0.33, 1)
    assert len(metrics.micro_windows) == 2


def test_the_first_weather_is_no_change_and_neither_is_the_same_again() -> None:
    def sees(t: float, weather: str) -> ev.Condition:
        return ev.Condition(t=t, camera="a", district="d", weather=weather)

    metrics = RunMetrics.of([sees(0, "day"), sees(5, "fog"), sees(6, "fog"), sees(9, "day")])
    assert [change.t for change in metrics.camera("a").weather_changes] == [5, 9]


def test_the_model_is_the_newest_switched_to_or_measured() -> None:
    switched = ev.StudentRunning(t=2.0, camera="a", model="m1", transferred_bytes=9, transfer_s=0.1)
    metrics = RunMetrics.of([accuracy(1.0, 0.5)])
    assert metrics.camera("a").model == "m0"
    metrics.apply(switched)
    assert metrics.camera("a").model == "m1"


@given(st.randoms(use_true_random=False))
def test_series_do_not_depend_on_the_order_events_of_other_times_arrive_in(rng) -> None:  # type: ignore[no-untyped-def]
    events = [accuracy(float(t), t / 50) for t in range(20)] + [
        segment(t + 0.5, "delivered") for t in range(20)
    ]
    shuffled = list(events)
    rng.shuffle(shuffled)
    ordered, other = RunMetrics.of(events).camera("a"), RunMetrics.of(shuffled).camera("a")
    assert ordered.accuracy == other.accuracy
    assert ordered.segments == other.segments


def test_a_whole_story_ends_as_told() -> None:
    metrics = RunMetrics.of(story())
    assert metrics.ended is not None
    assert metrics.job("job1").members == ["cam1", "cam2", "cam3"]
    assert metrics.camera("cam5").state == "idle"
    assert metrics.window == 2
    assert len(metrics.micro_windows) == 30
    assert metrics.camera("cam2").segments_lost == 5
