"""Made-up runs on both engines, held against each other."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from ecco_emu.bench.engines.command import compare_runs
from ecco_emu.bench.engines.comparison import compare, scenario_table, summary_table
from ecco_emu.bench.engines.figures import FigureKind, RunFigure, figures_of, groups_of
from ecco_emu.bench.engines.running import EngineRun, EngineTask, RunMaker, carry_out_missing, newest
from ecco_emu.core import events as ev
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.study import records
from tests.unit.record.synthetic import started, story

GROUPS = (("cam1", "cam2"), ("cam3",))


def agreement(kind: FigureKind, real: list[float], simulated: float) -> bool | None:
    runs = [([RunFigure(kind, "cam1", value)], GROUPS) for value in real]
    [figure] = compare("x", runs, ([RunFigure(kind, "cam1", simulated)], GROUPS)).figures
    return figure.agrees


@pytest.mark.parametrize(
    ("kind", "real", "simulated", "agrees"),
    [
        ("goodput", [100.0, 110.0], 109.0, True),  # within the spread
        ("goodput", [100.0, 102.0], 104.0, True),  # within 3 % of 101
        ("goodput", [100.0, 102.0], 105.0, False),
        ("goodput", [100.0], 102.0, True),
        ("goodput", [100.0], 90.0, False),
        ("share", [0.30, 0.30], 0.31, False),
        ("delivered", [100.0, 100.0], 102.0, True),
        ("delivered", [100.0, 100.0], 103.0, False),
        ("transfer time", [1.0, 2.0], 1.5, True),
        ("transfer time", [1.0, 2.0], 2.01, False),
        ("transfer time", [1.0], 1.1, None),  # one run has no spread
        ("lost", [0.0, 0.0, 0.0], 0.0, True),
        ("lost", [0.0, 0.0, 0.0], 1.0, False),
    ],
)
def test_when_a_figure_agrees(
    kind: FigureKind, real: list[float], simulated: float, agrees: bool | None
) -> None:
    assert agreement(kind, real, simulated) is agrees


def test_the_difference_is_relative_to_the_real_mean() -> None:
    real = [
        ([RunFigure("lost", "cam1", 0.0), RunFigure("goodput", "cam1", value)], GROUPS) for value in (90, 110)
    ]
    found = compare("x", real, ([RunFigure("goodput", "cam1", 95.0), RunFigure("lost", "cam1", 2.0)], GROUPS))
    goodput, lost = found.figures
    assert goodput.difference == pytest.approx(-0.05)
    assert lost.difference == math.inf
    assert found.worst("goodput") == pytest.approx(0.05)
    assert found.worst("share") is None


def test_groups_are_the_same_if_a_real_run_ended_with_them() -> None:
    def same(*real: tuple[tuple[str, ...], ...]) -> bool | None:
        return compare("x", [([], groups) for groups in real], ([], GROUPS)).same_groups

    assert same(GROUPS) is True
    assert same((("cam1", "cam2", "cam3"),), GROUPS) is True
    assert same((("cam1", "cam2", "cam3"),)) is False
    assert same() is None


def test_what_one_side_lacks_is_shown_and_not_judged() -> None:
    found = compare("x", [([RunFigure("late", "cam1", 3.0)], GROUPS)], None)
    [late] = found.figures
    assert (late.simulated, late.difference, late.agrees) == (None, None, None)
    assert found.same_groups is None
    [row, groups] = scenario_table(found).rows
    assert row == ("late, cam1", "3", "–", "–", "–", "–")
    assert groups == ("groups at the end", "cam1+cam2 | cam3", "–", "–", "–", "–")


def test_tables_tell_all_of_it() -> None:
    real = [
        ([RunFigure("goodput", "cam1", value), RunFigure("loss", "cam1", 0.01)], GROUPS)
        for value in (4e5, 5e5)
    ]
    found = compare("x", real, ([RunFigure("goodput", "cam1", 6e5), RunFigure("loss", "cam1", 0.01)], GROUPS))
    assert scenario_table(found).rows == (
        ("goodput, cam1", "450 kbit", "400 kbit to 500 kbit", "600 kbit", "+33.3%", "no"),
        ("loss, cam1", "1.00%", "1.00% to 1.00%", "1.00%", "+0.0%", "yes"),
        ("groups at the end", "cam1+cam2 | cam3", "–", "cam1+cam2 | cam3", "–", "yes"),
    )
    assert summary_table([found]).rows == (("x", "2", "1 of 2", "33.3%", "–", "–", "yes"),)


# -- figures of a run --


def test_figures_are_read_off_a_run() -> None:
    figures = {(each.kind, each.subject): each.value for each in figures_of(RunMetrics.of(story()))}
    assert figures["delivered", "cam1"] > 10
    assert 3e5 < figures["goodput", "cam1"] < 2e6
    assert 0 < figures["share", "cam1+cam2+cam3"] < 1
    assert figures["students", "all"] > 0
    assert figures["transfer time", "cam1"] > 0
    assert not [subject for kind, subject in figures if subject == "cam5" and kind != "students"]


def test_where_a_trace_moves_the_target_all_but_the_start_counts() -> None:
    samples = [
        ev.Traffic(
            t=float(t), camera="cam1", period_s=1.0, sent_bps=1e5, goodput_bps=1e5 * t, allowed_bps=1e6,
            target_bps=0.0 if t < 3 else 1e5 * t, rtt_ms=20.0, loss=0.0,
        )
        for t in range(1, 21)
    ]  # fmt: skip
    metrics = RunMetrics.of([started(), *samples])
    assert "goodput" not in {each.kind for each in figures_of(metrics)}
    [goodput] = [each for each in figures_of(metrics, {"cam1"}) if each.kind == "goodput"]
    assert goodput.value == pytest.approx(1e5 * (12 + 20) / 2)  # it streams since 3 s, and 8 s are the start


def test_groups_are_sorted_and_those_without_members_left_out() -> None:
    groups = [
        ev.GroupState(id=f"job{number}", members=members, micro_windows=1, p=0.5, c=1.0, map=None)
        for number, members in enumerate([["c"], [], ["b", "a"]])
    ]
    metrics = RunMetrics.of([started(), ev.WindowEnded(t=20.0, window=0, start=0.0, groups=groups)])
    assert groups_of(metrics) == [["a", "b"], ["c"]]
    assert groups_of(RunMetrics()) == []


# -- runs, and going on from a file --


def made(task: EngineTask, status: str = "ok", text: str = "") -> EngineRun:
    return EngineRun(
        scenario=task.scenario, side=task.side, number=task.number, digest=task.digest, status=status,
        text=text, directory="", figures=[RunFigure("late", "cam1", 1.0)], groups=[["cam1"]],
    )  # fmt: skip


TASKS = [
    EngineTask("x", "simulated", 0, "d"),
    EngineTask("x", "real", 0, "e"),
    EngineTask("x", "real", 1, "e"),
]


class ScriptedMaker(RunMaker):
    async def carry_out(self, task: EngineTask) -> EngineRun:
        return made(task)


async def test_runs_that_the_file_has_are_not_repeated_unless_they_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    old = EngineTask("x", "real", 1, "another scenario by that name")
    with records.Writer[EngineRun](path) as writer:
        for run in (made(TASKS[0]), made(TASKS[1], "degraded", "too slow"), made(old)):
            writer.write(run)
    told: list[str] = []
    maker = ScriptedMaker("curve", None, (), tmp_path)
    runs = await carry_out_missing(maker, TASKS, path, told.append)
    assert told == ["x: real run 1 (0 of 2 runs done)", "x: real run 2 (1 of 2 runs done)"]
    assert [run.task for run in runs] == TASKS
    assert all(run.counts for run in runs)
    assert [run.task for run in records.load(path, EngineRun)][3:] == TASKS[1:]


def test_a_result_that_counts_goes_before_a_newer_one_that_does_not() -> None:
    [task, *_] = TASKS
    good, bad = made(task), made(task, "degraded")
    assert newest([task], [good, bad]) == [good]
    assert newest([task], [bad, good]) == [good]
    assert newest([task], [bad]) == [bad]


def test_runs_that_do_not_count_are_left_out_and_named() -> None:
    found = compare_runs(
        "x", [made(TASKS[0]), made(TASKS[1], "degraded", "degraded: too slow"), made(TASKS[2])]
    )
    assert found.notes == ("Left out: real run 1, degraded: degraded: too slow",)
    assert len(found.real_groups) == 1


def test_tasks_are_of_the_scenario_with_every_value(tmp_path: Path) -> None:
    plain = RunMaker("curve", "2", (), tmp_path).tasks("faults/uplink-flap", real_runs=2)
    assert [(task.side, task.number) for task in plain] == [("simulated", 0), ("real", 0), ("real", 1)]
    assert len({task.digest for task in plain}) == 2
    other = RunMaker("curve", "2", ("seed=9",), tmp_path).tasks("faults/uplink-flap", real_runs=2)
    assert not {task.digest for task in plain} & {task.digest for task in other}
