"""``--json``: each verb that answers with data has it, and writes one document to standard output alone."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ecco_emu import cli
from ecco_emu.bench.net.command import NetReport
from ecco_emu.bench.video.command import VideoReport
from ecco_emu.cli.app import answer
from ecco_emu.emulation.emulation import Emulation
from ecco_emu.record.log import EventLog
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.rundir import RunDirectory
from ecco_emu.record.summary import summarize
from tests.unit.record.synthetic import story
from tests.unit.test_docs import VERBS

WITHOUT = {"exec", "init", "world", "schema"}
"""They answer with the output of another command, with pictures, and with JSON anyway."""

Capsys = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def answered(monkeypatch: Patch, capsys: Capsys, *arguments: object) -> tuple[int, Any]:
    """The exit code of a verb with ``--json``, and its answer."""
    monkeypatch.setattr("sys.argv", ["ecco-emu", *map(str, arguments), "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0), json.loads(capsys.readouterr().out)


def finished_run(base: Path, name: str) -> RunDirectory:
    run = RunDirectory.create(base, name, datetime(2026, 11, 23, tzinfo=UTC))
    with EventLog(run.events_path, lambda: 0.0) as log:
        for event in story():
            log.append(event)
    run.write_summary(summarize(RunMetrics.of(story()), "ok"))
    return run


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return finished_run(tmp_path, "a")


def test_each_verb_that_answers_with_data_has_it():
    with_json = {
        verb for verb, command in VERBS.items() if any("--json" in each.opts for each in command.params)
    }
    assert with_json == VERBS.keys() - WITHOUT


def test_an_answer_is_plain_json_in_ascii(capsys: Capsys):
    @dataclass
    class Figure:
        name: str
        value: float

    answer([Figure("µ", math.nan), {"path": Path("a") / "b"}, ("x", None)])
    text = capsys.readouterr().out
    assert text.isascii()
    assert json.loads(text) == [{"name": "µ", "value": None}, {"path": "a/b"}, ["x", None]]


def test_check(tmp_path: Path, monkeypatch: Patch, capsys: Capsys):
    assert answered(monkeypatch, capsys, "check", "quickstart") == (0, [])
    (tmp_path / "bad.yaml").write_text("version: 1\nname: x\npolice: {}\n")
    code, problems = answered(monkeypatch, capsys, "check", tmp_path / "bad.yaml")
    assert code == 2
    assert any(problem["path"] == "police" and problem["severity"] == "error" for problem in problems)


def test_plan(monkeypatch: Patch, capsys: Capsys):
    code, lines = answered(monkeypatch, capsys, "plan", "quickstart")
    assert code == 0
    assert any("harbour1" in line for line in lines)


def test_doctor(monkeypatch: Patch, capsys: Capsys):
    _, findings = answered(monkeypatch, capsys, "doctor")
    assert {"what", "state", "found", "way_out"} <= findings[0].keys()


def test_ps_and_clean(tmp_path: Path, monkeypatch: Patch, capsys: Capsys):
    assert answered(monkeypatch, capsys, "ps", "--out", tmp_path) == (0, [])
    assert answered(monkeypatch, capsys, "clean", "--out", tmp_path) == (0, [])


def test_report(run: RunDirectory, tmp_path: Path, monkeypatch: Patch, capsys: Capsys):
    code, one = answered(monkeypatch, capsys, "report", run.path)
    assert (code, one["report"]) == (0, str(run.report_path))
    assert one["runs"] == [{"directory": str(run.path), "summary": run.summary()}]
    other = finished_run(tmp_path, "b")
    page = tmp_path / "both.html"
    code, both = answered(monkeypatch, capsys, "report", run.path, other.path, "--out", page)
    assert (code, both["report"]) == (0, str(page))
    assert [each["directory"] for each in both["runs"]] == [str(run.path), str(other.path)]


def test_run(run: RunDirectory, monkeypatch: Patch, capsys: Capsys):
    async def finished(*_: object, **__: object) -> str:
        return "ok"

    emulation = SimpleNamespace(
        warnings=("a warning",), directory=run.path, summary=lambda: RunMetrics.of(story())
    )
    monkeypatch.setattr(Emulation, "from_file", lambda *_, **__: emulation)
    monkeypatch.setattr("ecco_emu.cli.run._run", finished)
    code, said = answered(monkeypatch, capsys, "run", "quickstart")
    assert code == 0
    assert said == {**run.summary(), "directory": str(run.path), "report": str(run.report_path)}


def test_pretrain(tmp_path: Path, monkeypatch: Patch, capsys: Capsys):
    async def trained(*_: object, **__: object) -> SimpleNamespace:
        return made

    @dataclass
    class Provenance:
        steps: int
        map: dict[str, float]

    made = Provenance(5, {"day": 0.5})
    monkeypatch.setitem(sys.modules, "ecco_emu.trainer.yolo.pretrain", SimpleNamespace(pretrain=trained))
    answer_of_5 = {"steps": 5, "map": {"day": 0.5}}
    assert answered(monkeypatch, capsys, "pretrain", "--out", tmp_path) == (0, answer_of_5)


def test_benches(monkeypatch: Patch, capsys: Capsys):
    async def measured(*_: object) -> NetReport:
        return NetReport("2 CPUs", (), ())

    monkeypatch.setattr("ecco_emu.bench.net.command.measure", measured)
    empty = {"host": "2 CPUs", "figures": [], "notes": []}
    assert answered(monkeypatch, capsys, "bench", "net") == (0, empty)
    monkeypatch.setattr("ecco_emu.bench.video.command.measure_all", lambda *_: VideoReport("2 CPUs", ()))
    assert answered(monkeypatch, capsys, "bench", "video") == (0, {"host": "2 CPUs", "streams": []})
