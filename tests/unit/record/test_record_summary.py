import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.core import events as ev
from ecco_emu.core.faults import LinkSet
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.share_error import START_S, group_shares
from ecco_emu.record.summary import camera_map_by_window, map_by_window, summarize
from tests.unit.record.synthetic import second_drift, started, story


def accuracy(t: float, value: float, camera: str = "a") -> ev.Accuracy:
    return ev.Accuracy(t=t, camera=camera, map=value, map50=value, frames=8, model="m0")


def traffic(t: float, goodput: float, target: float, camera: str = "a", **more: float) -> ev.Traffic:
    fields = {"sent_bps": goodput, "allowed_bps": target, "rtt_ms": 50.0, "loss": 0.0} | more
    return ev.Traffic(t=t, camera=camera, period_s=1.0, goodput_bps=goodput, target_bps=target, **fields)


def created(t: float, job: str, camera: str) -> ev.JobCreated:
    return ev.JobCreated(t=t, job=job, camera=camera, model="m", gains={})


def test_accuracy_by_window_is_the_mean_of_what_was_measured_in_it() -> None:
    metrics = RunMetrics.of(
        [
            started(cameras=("a", "b"), windows=3, window_s=10.0),
            accuracy(0.0, 0.2),
            accuracy(9.9, 0.4),
            accuracy(10.0, 0.8),
            accuracy(5.0, 0.5, "b"),
            accuracy(30.1, 0.6, "b"),
        ]
    )
    assert camera_map_by_window(metrics.camera("a"), metrics) == [pytest.approx(0.3), 0.8, None]
    assert camera_map_by_window(metrics.camera("b"), metrics) == [0.5, None, 0.6]
    assert map_by_window(metrics) == [pytest.approx(0.4), 0.8, 0.6]
    assert summarize(metrics, "ok")["mean_map"] == pytest.approx(0.6)


def measured(start: float, end: float, value: float | None, camera: str = "a") -> ev.StudentMeasured:
    return ev.StudentMeasured(
        t=60.0,
        camera=camera,
        model="m0",
        start=start,
        end=end,
        weather="day",
        map=value,
        map50=value,
        frames=32,
    )


def test_measured_students_count_by_time_and_live_glimpses_of_them_no_more() -> None:
    """The glimpse of 0.9 is noise; the student that had not arrived at the end weighs nothing in a mean."""
    metrics = RunMetrics.of(
        [
            started(cameras=("a",), windows=2, window_s=10.0),
            accuracy(3.0, 0.9),
            measured(0.0, 4.0, 0.5),
            measured(4.0, 14.0, 0.1),
            measured(14.0, 20.0, 0.3),
            measured(20.0, 20.0, 0.7),
        ]
    )
    summary = summarize(metrics, "ok")
    assert summary["map_by_window"] == [pytest.approx(0.26), pytest.approx(0.22)]
    assert summary["cameras"]["a"]["map_final"] == 0.7
    assert summary["accuracy"] == "students"


def test_a_camera_that_was_never_measured_has_none_and_not_0() -> None:
    metrics = RunMetrics.of(
        [
            started(cameras=("a", "b"), windows=1, window_s=20.0),
            measured(0, 20, None),
            measured(0, 20, 0.4, "b"),
        ]
    )
    summary = summarize(metrics, "ok")
    assert summary["cameras"]["a"]["map"] == [None]
    assert summary["cameras"]["a"]["map_final"] is None
    assert summary["mean_map"] == pytest.approx(0.4)


def test_of_an_interrupted_run_the_glimpses_count() -> None:
    metrics = RunMetrics.of([started(cameras=("a",), windows=3, window_s=20.0), accuracy(3.0, 0.5)])
    summary = summarize(metrics, "interrupted")
    assert (summary["accuracy"], summary["cameras"]["a"]["map_final"]) == ("glimpses", 0.5)


def test_how_the_gpus_spent_their_time_is_a_mean_over_used_micro_windows() -> None:
    def micro(index: int, job: str | None, train: float, evaluate: float, budget: float) -> ev.MicroWindow:
        return ev.MicroWindow(
            t=2.0, window=0, index=index, start=0.0, job=job, train_wall_s=train, evaluate_wall_s=evaluate,
            label_wall_s=0.8, budget=budget, charged=budget / 4,
        )  # fmt: skip

    # 2 s of 4 wall seconds each
    begun = started(micro_s=2.0)
    used = [begun, micro(0, "j", 4.0, 2.0, 64.0), micro(1, "j", 6.0, 1.0, 64.0), micro(2, None, 0, 0, 0.0)]
    assert summarize(RunMetrics.of(used), "ok")["gpu_time"] == {
        "train": 0.625, "evaluate": 0.1875, "label": 0.1, "charged": 0.25,
    }  # fmt: skip
    paid = [*used, micro(3, None, 0.0, 6.0, 64.0)]  # trained no job, but measured
    assert summarize(RunMetrics.of(paid), "ok")["gpu_time"]["evaluate"] == pytest.approx(2.25 / 6)
    older = [begun, micro(0, "j", 4.0, 0.0, 0.0)]  # such a log tells of training alone
    assert summarize(RunMetrics.of(older), "ok")["gpu_time"] == {
        "train": 0.5, "evaluate": None, "label": None, "charged": None,
    }  # fmt: skip


def test_a_second_drift_is_all_in_the_summary() -> None:
    summary = json.loads(json.dumps(summarize(RunMetrics.of(second_drift()), "ok"), allow_nan=False))
    assert summary["response"] == {
        "threshold": 0.4, "measurements": 2, "answered": 4, "censored": 2, "median_s": 27.6,
        "survival_median_s": 27.7,
    }  # fmt: skip
    assert summary["cameras"]["cam3"]["responses"] == [
        {"drift_t": 10.0, "asked_t": 12.3, "response_s": 27.7, "censored_s": None},
        {"drift_t": 50.0, "asked_t": 53.1, "response_s": None, "censored_s": 26.9},
        {"drift_t": 80.0, "asked_t": None, "response_s": None, "censored_s": None},
    ]
    assert summary["cameras"]["cam3"]["response_time_s"] == 27.7
    assert summary["cameras"]["cam2"]["requests_deferred"] == 2
    assert summary["cameras"]["cam3"]["requests_refused"] == 1
    assert summary["unnoticed_drifts"] == [
        {"camera": "cam3", "t": 80.0, "weather": "rain", "map_before": 0.02, "map_after": 0.02}
    ]
    first, second, third = summary["jobs"]
    assert (first["id"], first["ended"], first["reason"]) == ("job1", 70.0, "recovered")
    assert [stay["reason"] for stay in first["stays"]] == ["released", "asked again", "released"]
    assert (second["id"], second["ended"], third["id"]) == ("job2", None, "job10")
    assert [stay["reason"] for stay in third["stays"]] == [None, "drop"]


def test_the_transports_counters_are_summed_over_the_run() -> None:
    metrics = RunMetrics.of(
        [
            started(cameras=("a",), windows=3, window_s=20.0),
            traffic(2, 1e6, 2e6, cuts=2, spurious=1, stale=0),
            traffic(3, 1e6, 2e6, cuts=1, spurious=0, stale=4),
            traffic(4, 1e6, 0.0),
        ]
    )
    camera = summarize(metrics, "ok")["cameras"]["a"]
    assert (camera["cuts"], camera["spurious_retransmissions"], camera["stale_drops"]) == (3, 1, 4)


def test_windows_that_have_not_begun_are_not_listed() -> None:
    metrics = RunMetrics.of([started(windows=3, window_s=20.0), accuracy(25.0, 0.5, "cam1")])
    assert summarize(metrics, "interrupted")["cameras"]["cam1"]["map"] == [None, 0.5]


def test_rates_are_means_over_the_time_a_camera_streamed() -> None:
    summary = summarize(
        RunMetrics.of(
            [
                traffic(1, 0.0, 0.0),
                traffic(2, 1e6, 2e6, loss=0.1, rtt_ms=40.0),
                traffic(3, 3e6, 2e6, loss=0.0, rtt_ms=80.0),
            ]
        ),
        "ok",
    )
    camera = summary["cameras"]["a"]
    assert (camera["goodput_bps"], camera["target_bps"], camera["rtt_ms"]) == (2e6, 2e6, 60.0)
    assert camera["loss"] == pytest.approx(0.025)


def test_a_share_error_counts_the_group_in_steady_state_only() -> None:
    """A camera that starts badly, settles at 10 % under its target, and is then starved by a fault."""
    fault = ev.FaultApplied(
        t=20.0, index=0, change=LinkSet("a", rate_bps=1e6), phase="start", requested=20.0, applied=20.0
    )
    samples = [traffic(t, 0.2e6 if t < 5 else 0.9e6, 1e6) for t in range(2, 20)]
    starved = [traffic(t, 0.1e6, 1e6) for t in range(20, 24)]
    shares = group_shares(RunMetrics.of([created(0.5, "j", "a"), *samples, fault, *starved]))
    assert [share.job for share in shares] == ["j"]
    assert shares[0].error == pytest.approx(0.1)
    assert shares[0].steady_s == 9.0  # from 2 + START_S to 19


def test_a_group_is_measured_as_a_whole() -> None:
    events: list[ev.AnyEvent] = [created(0, "j", "a"), ev.JobJoined(t=0, job="j", camera="b", gains={})]
    for t in range(1, 17):
        events += [traffic(t, 1.2e6, 1e6, "a"), traffic(t, 0.8e6, 1e6, "b")]
    assert summarize(RunMetrics.of(events), "ok")["share_error"] == pytest.approx(0.0)


def test_no_steady_state_no_share_error() -> None:
    changing = [traffic(t, 1e6, 1e6 + t % 2 * 5e5) for t in range(1, 40)]
    short = [traffic(t, 1e6, 2e6, "b") for t in range(1, 14)]
    metrics = RunMetrics.of([created(0, "j", "a"), created(0, "k", "b"), *changing, *short])
    assert summarize(metrics, "ok")["share_error"] is None


@given(st.lists(st.floats(min_value=0.1, max_value=2.0), min_size=17, max_size=40))
def test_a_share_error_is_that_of_the_mean_goodput(ratios: list[float]) -> None:
    events = [traffic(float(t), ratio * 1e6, 1e6) for t, ratio in enumerate(ratios, start=1)]
    [share] = group_shares(RunMetrics.of([created(0.0, "j", "a"), *events]))
    steady = [ratio for t, ratio in enumerate(ratios, start=1) if t - 1 >= 1 + START_S]
    assert share.error == pytest.approx(abs(sum(steady) / len(steady) - 1), abs=1e-9)


def test_the_clock_is_the_newest_report_which_covers_the_whole_run() -> None:
    def report(t: float, p50: float, p99: float, misses: int) -> ev.ClockReport:
        return ev.ClockReport(
            t=t, lag_p50_ms=p50, lag_p99_ms=p99, lag_max_ms=2 * p99, deadline_misses=misses, rss_bytes=int(t)
        )

    summary = summarize(
        RunMetrics.of([report(5, 0.1, 9.0, 0), report(10, 0.3, 2.0, 2), report(15, 0.2, 1.0, 2)]), "ok"
    )
    assert summary["clock"] == {
        "lag_p50_ms": 0.2,
        "lag_p99_ms": 1.0,
        "lag_max_ms": 2.0,
        "deadline_misses": 2,
    }
    assert summary["peak_rss_bytes"] == 15


def test_an_empty_run_has_a_summary_too() -> None:
    summary = summarize(RunMetrics(), "failed")
    assert (summary["status"], summary["policy"], summary["mean_map"], summary["cameras"]) == (
        "failed",
        None,
        None,
        {},
    )


def test_a_summary_is_json_with_every_promised_key() -> None:
    odd = ev.Traffic(
        t=59.0, camera="cam1", period_s=1.0, sent_bps=math.nan, goodput_bps=math.nan, target_bps=1.0,
        allowed_bps=1.0, rtt_ms=math.inf, loss=math.nan,
    )  # fmt: skip
    summary = json.loads(json.dumps(summarize(RunMetrics.of([*story(), odd]), "ok"), allow_nan=False))
    assert {
        "version", "status", "policy", "engine", "dilation", "trainer", "mean_map", "map_by_window",
        "windows", "cameras", "share_error", "faults", "expectations", "clock",
    } <= summary.keys()  # fmt: skip
    assert {
        "map", "map_after_drift", "map_final", "response_time_s", "goodput_bps", "target_bps",
        "segments_sent", "segments_delivered", "segments_late", "segments_lost", "loss", "rtt_ms",
    } <= summary["cameras"]["cam2"].keys()  # fmt: skip
    assert summary["windows"][1]["groups"][0]["members"] == ["cam1", "cam2", "cam3"]
    assert summary["faults"][0]["applied"] == 40.004
    assert [one["held"] for one in summary["expectations"]] == [True, False]
