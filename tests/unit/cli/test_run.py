"""What ``ecco-emu run`` prints at a run's end."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ecco_emu.cli.run import print_paths, print_summary, print_verdict
from ecco_emu.cli.streams import out
from ecco_emu.core import events as ev
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.summary import summarize
from ecco_emu.record.verdict import RunVerdict, of_finished
from tests.unit.record.synthetic import story


def test_the_verdict_is_told_with_its_reasons_and_a_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    late = ev.DeadlineMissed(t=3.0, text="micro-window 1 of window 1, job1", late_s=0.5, allowed_s=2.0)
    metrics = RunMetrics.of([event for event in story() if not isinstance(event, ev.ExpectationChecked)])
    metrics.apply(late)
    print_summary(summarize(metrics, "degraded"))
    print_verdict(of_finished(metrics), always=False)
    print_paths(out, Path("runs/x[1]"), None)
    told = capsys.readouterr().out
    assert "policy ecco: degraded" in told
    assert (
        "degraded: 2 deadlines were missed, the worst: micro-window 1 of window 1, job1 was late by 0.5"
        in told
    )
    assert "with --dilation 5.3" in told
    assert told.endswith("run directory  runs/x[1]\n")


@pytest.mark.parametrize(("always", "told"), [(True, "ok\n"), (False, "")])
def test_a_run_that_is_ok_needs_no_word_unless_it_is_the_only_one(
    always: bool, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_verdict(RunVerdict("ok"), always=always)
    assert capsys.readouterr().out == told


def test_the_last_line_names_trainer_and_engine(capsys: pytest.CaptureFixture[str]) -> None:
    begun = msgspec.structs.replace(story()[0], trainer="curve")
    print_summary(summarize(RunMetrics.of([begun, *story()[1:]]), "ok"))
    assert "trainer curve, engine relay, one emulated second = 4 s" in capsys.readouterr().out


def test_a_run_without_a_wall_has_no_lag(capsys: pytest.CaptureFixture[str]) -> None:
    events = [event for event in story() if not isinstance(event, ev.ClockReport)]
    begun = msgspec.structs.replace(events[0], engine="simulated")
    print_summary(summarize(RunMetrics.of([begun, *events[1:]]), "ok"))
    assert capsys.readouterr().out.endswith("trainer yolo, engine simulated\n")
