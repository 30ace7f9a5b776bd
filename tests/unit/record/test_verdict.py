"""How a run ended, by which criterion, and what would have done."""

from __future__ import annotations

import pytest

from ecco_emu.core import events as ev
from ecco_emu.core.errors import HostError
from ecco_emu.record import verdict
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.summary import summarize
from tests.unit.record.synthetic import started


def ran(*events: ev.AnyEvent, dilation: float = 4.0) -> RunMetrics:
    begun = started(cameras=("a",), windows=3, window_s=20.0)
    begun = ev.RunStarted(
        **{name: getattr(begun, name) for name in begun.__struct_fields__} | {"dilation": dilation}
    )
    return RunMetrics.of([begun, *events])


def clock(lag_p99_ms: float, misses: int = 0) -> ev.ClockReport:
    return ev.ClockReport(
        t=60.0, lag_p50_ms=0.1, lag_p99_ms=lag_p99_ms, lag_max_ms=99.0, deadline_misses=misses, rss_bytes=1
    )


def late(late_s: float, allowed_s: float = 2.0, t: float = 30.0) -> ev.DeadlineMissed:
    return ev.DeadlineMissed(t=t, text="micro-window 3 of window 2, job1", late_s=late_s, allowed_s=allowed_s)


def checked(held: bool) -> ev.ExpectationChecked:
    return ev.ExpectationChecked(t=60.0, index=0, text="x", held=held, detail="y")


def test_a_run_that_kept_up_is_ok_without_a_word() -> None:
    ended = verdict.of_finished(ran(clock(4.0), checked(True)))
    assert ended == verdict.RunVerdict("ok")
    assert verdict.told(ended) == []


def test_lag_counts_in_emulated_time() -> None:
    """10.04 ms of the wall at dilation 14 are 0.7 ms in the scenario: nothing there can tell them."""
    assert verdict.of_finished(ran(clock(10.04), dilation=14.0)).status == "ok"
    ended = verdict.of_finished(ran(clock(24.0), dilation=2.0))
    assert ended.status == "degraded"
    [reason] = ended.reasons
    assert (reason.criterion, reason.value, reason.limit) == ("loop lag", pytest.approx(0.012), 0.010)
    assert ended.suggested_dilation == 2.6  # 2 * 1.2 * 1.05, rounded up
    assert verdict.told(ended) == [
        "degraded: the event loop was late by 12.0 ms of emulated time (99th percentile; 24.0 ms of the wall "
        "at dilation 2), where 10 ms are allowed",
        "this host would likely keep up with --dilation 2.6; with fewer programs beside the run, less may do",
    ]


def test_missed_deadlines_name_the_worst_and_a_dilation_that_would_have_done() -> None:
    ended = verdict.of_finished(ran(late(0.3), late(0.5), clock(1.0, misses=2)))
    assert ended.status == "degraded"
    assert ended.suggested_dilation == 5.3  # 4 * 2.5 s / 2 s * 1.05, rounded up
    assert verdict.told(ended)[0] == (
        "degraded: 2 deadlines were missed, the worst: micro-window 3 of window 2, job1 was late by 0.5 s, "
        "where 2 s were allowed"
    )


def test_a_stall_that_no_dilation_makes_up_for_suggests_none() -> None:
    ended = verdict.of_finished(ran(late(3.0, allowed_s=0.1), clock(1.0, misses=1)))
    assert ended.suggested_dilation is None
    assert verdict.told(ended)[-1] == (
        "this host was held up for long: run it again with nothing beside it, or with a larger --dilation"
    )


def test_a_run_that_failed_says_that_its_host_was_too_slow_as_well() -> None:
    ended = verdict.of_finished(ran(late(0.5), clock(1.0, misses=1), checked(False), checked(True)))
    assert ended.status == "failed"
    assert [reason.criterion for reason in ended.reasons] == ["expectation", "deadline"]
    assert verdict.told(ended)[0] == "failed: 1 of 2 expectations failed"
    assert verdict.told(ended)[1].startswith("degraded: a deadline was missed")


def test_runs_that_ended_early_say_when_and_by_what() -> None:
    assert verdict.told(verdict.of_error(HostError("the network broke"), ran(late(0.1, t=12.0)))) == [
        "failed: it ended with an error at 12.0 s: the network broke"
    ]
    assert verdict.told(verdict.of_stopped(ran(late(0.1, t=12.0)))) == [
        "interrupted: it was stopped at 12.0 s of 60 s"
    ]
    assert verdict.told(verdict.of_stopped(ran(clock(1.0)))) == [
        "interrupted: it was stopped after its end, before its students were measured"
    ]
    assert verdict.told(verdict.of_stopped(RunMetrics())) == ["interrupted: it was stopped before it began"]


def test_the_summary_holds_the_verdict() -> None:
    metrics = ran(late(0.5), clock(1.0, misses=1))
    ended = verdict.of_finished(metrics)
    metrics.apply(ev.RunEnded(t=60.0, status="degraded", reasons=list(ended.reasons), suggested_dilation=5.3))
    summary = summarize(metrics, "degraded")
    assert summary["suggested_dilation"] == 5.3
    [reason] = summary["reasons"]
    assert (reason["criterion"], reason["value"], reason["limit"]) == ("deadline", 1, 0)
    assert "late by 0.5 s" in reason["text"]


def test_a_log_of_an_earlier_release_keeps_its_status() -> None:
    metrics = ran(clock(15.0, misses=2), ev.RunEnded(t=60.0, status="degraded"))
    ended = verdict.recorded(metrics)
    assert ended.status == "degraded"
    assert verdict.told(ended)[0] == "degraded: 2 deadlines were missed"
