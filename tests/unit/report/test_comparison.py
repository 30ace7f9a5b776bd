"""Runs side by side: over the time that all have, with all that differs told, and only like runs ranked."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecco_emu import cli
from ecco_emu.core import events as ev
from ecco_emu.core.errors import ScenarioError
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.rundir import RunDirectory
from ecco_emu.report.comparison import compare, row, until
from ecco_emu.report.html import render_comparison
from tests.unit.record.synthetic import started
from tests.unit.report.test_report_html import recorded, without_plotly

SCENARIO = (
    "name: x\nseed: 7\npolicy: {{name: {policy}}}\ntrainer: {{gpu_speed: {speed}}}\ncameras: [{{id: a}}]\n"
)


def run(
    base: Path,
    policy: str,
    *,
    upto: float = 60.0,
    first: float = 0.5,
    later: float = 0.1,
    status: ev.RunStatus | None = "ok",
    speed: int = 2,
    seed: int = 7,
) -> RunDirectory:
    """A run of 60 s whose accuracy is ``first`` for 20 s and ``later`` from then on. It ended at ``upto``."""
    begun = ev.RunStarted(
        t=0.0, name="x", policy=policy, engine="relay", dilation=4.0, seed=seed, trainer="yolo", gpus=1,
        window_s=20.0, micro_s=2.0, windows=3, cameras=["a"], bottleneck_bps=None,
    )  # fmt: skip
    seen = [
        ev.Accuracy(t=float(t), camera="a", map=first if t < 20 else later, map50=0.5, frames=8, model="m")
        for t in range(60)
        if t <= upto
    ]
    reasons = [] if status == "ok" else [ev.Reason(criterion="stopped", text="a reason")]
    end = [] if status is None else [ev.RunEnded(t=upto, status=status, reasons=reasons)]
    directory = recorded(base, policy, [begun, *seen, *end])
    directory.write_scenario(SCENARIO.format(policy=policy, speed=speed))
    return directory


def test_like_runs_are_compared_without_a_caution(tmp_path: Path) -> None:
    found = compare([run(tmp_path, "ecco", later=0.4), run(tmp_path, "naive", later=0.1)])
    assert found.cautions == []
    assert found.outcome == (
        "Over 60 s, ecco had the highest mean accuracy: 0.433 (naive 0.233). One run of each is no evidence: "
        "repeat it with other seeds."
    )


def test_a_shorter_run_does_not_win_by_being_short(tmp_path: Path) -> None:
    """It ended before the accuracy fell: over the time that both have, both were alike."""
    short = run(tmp_path, "naive", upto=12.0, status="interrupted")
    found = compare([run(tmp_path, "ecco"), short])
    assert found.until_s == 12.0
    rows = [row(*each) for each in zip(found.labels, found.whole, found.cut, strict=True)]
    assert [each["mean"] for each in rows] == [0.5, 0.5]
    assert [each["length"] for each in rows] == [60.0, 12.0]
    assert found.cautions == [
        "Their lengths differ (ecco: 60.0 s, naive: 12.0 s): figures are over the first 12.0 s of each.",
        "naive is not ranked. Interrupted: a reason.",
    ]
    assert found.outcome == ""
    page = without_plotly(render_comparison(found))
    assert "Before you compare" in page
    assert "naive is not ranked" in page


@pytest.mark.parametrize("status", ["interrupted", "failed", "degraded", None])
def test_only_runs_that_are_ok_are_ranked(status: ev.RunStatus | None, tmp_path: Path) -> None:
    found = compare([run(tmp_path, "ecco"), run(tmp_path, "naive", first=0.9, status=status)])
    assert found.outcome == ""
    assert any("naive is not ranked" in caution for caution in found.cautions)
    third = compare(
        [run(tmp_path, "ecco"), run(tmp_path, "naive", first=0.9, status=status), run(tmp_path, "other")]
    )
    assert "naive" not in third.outcome
    assert "ecco" in third.outcome


def test_other_scenarios_and_seeds_are_told_and_not_ranked(tmp_path: Path) -> None:
    found = compare([run(tmp_path, "ecco"), run(tmp_path, "naive", speed=8, seed=8)])
    assert found.cautions == [
        "These are not runs of one scenario. They differ in trainer.gpu_speed (2, 8).",
        "The runs differ in seed (ecco: 7, naive: 8): weather, traffic and training differ by chance.",
    ]
    assert found.outcome == ""


def test_a_scenario_that_is_gone_is_told(tmp_path: Path) -> None:
    runs = [run(tmp_path, "ecco"), run(tmp_path, "naive")]
    runs[1].scenario_path.write_bytes(b"\x00[")
    [caution] = compare(runs).cautions
    assert "The scenario of naive is not in its directory" in caution


def test_glimpses_are_not_compared_with_measured_students(tmp_path: Path) -> None:
    ecco, naive = run(tmp_path, "ecco"), run(tmp_path, "naive")
    step = ev.StudentMeasured(
        t=60.0, camera="a", model="m", start=0.0, end=60.0, weather="day", map=0.9, map50=0.9, frames=32
    )
    from ecco_emu.record.log import encode_line

    with ecco.events_path.open("ab") as log:
        log.write(encode_line(step, 1.0))
    found = compare([ecco, naive])
    assert "The students of naive were not measured after the run" in found.cautions[0]
    means = [each.summary["mean_map"] for each in found.cut]
    assert means[0] == means[1]


def test_measurements_made_afterwards_are_cut_to_the_common_time() -> None:
    steps = [
        ev.StudentMeasured(
            t=60.5,
            camera="a",
            model="m",
            start=start,
            end=end,
            weather="day",
            map=value,
            map50=value,
            frames=32,
        )
        for start, end, value in ((0.0, 20.0, 0.6), (20.0, 60.0, 0.1), (60.0, 60.0, 0.7))
    ]
    end = ev.RunEnded(t=60.5, status="ok")
    cut = RunMetrics.of(until(iter([started(cameras=("a",)), *steps, end]), 30.0))
    curve = cut.camera("a").curve
    assert (cut.t, curve.at(30.0)) == (30.0, 0.1)
    assert curve.mean(0.0, 60.0) == pytest.approx((20 * 0.6 + 10 * 0.1) / 30)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    ecco = run(tmp_path, "ecco")
    with pytest.raises(ScenarioError, match="given twice"):
        compare([ecco, ecco])
    empty = recorded(tmp_path, "empty", [ev.RunEnded(t=0.0, status="interrupted")])
    with pytest.raises(ScenarioError, match="empty never began"):
        compare([ecco, empty])


def test_runs_of_one_name_and_policy_are_told_apart_by_path(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a", "ecco"), run(tmp_path / "b", "ecco")
    labels = compare([first, second]).labels
    assert len(set(labels)) == 2
    assert str(tmp_path / "b") in labels[1]


def test_the_terminal_says_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [run(tmp_path, "ecco"), run(tmp_path, "naive", upto=12.0, status=None)]
    out = tmp_path / "page.html"
    monkeypatch.setattr(
        "sys.argv", ["ecco-emu", "report", *(str(each.path) for each in runs), "--out", str(out)]
    )
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert not end.value.code
    assert "Their lengths differ" in said.err
    assert "naive is not ranked. Interrupted: it was stopped at" in said.err
    assert said.out.strip() == str(out)


def test_each_run_has_its_trainers_name(tmp_path: Path) -> None:
    found = compare([run(tmp_path, "ecco"), run(tmp_path, "naive")])
    rows = [row(*each) for each in zip(found.labels, found.whole, found.cut, strict=True)]
    assert [each["trainer"] for each in rows] == ["yolo", "yolo"]
    assert without_plotly(render_comparison(found)).count("<td>yolo</td>") == 2
