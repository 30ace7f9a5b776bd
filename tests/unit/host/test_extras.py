"""An installation without torch: all but runs and pretraining works, and these say what to install."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ecco_emu import cli
from ecco_emu.core.errors import HostError
from ecco_emu.host.extras import BENCH, YOLO, Extra
from ecco_emu.trainer.client import InferenceClient

ROOT = Path(__file__).parents[3]
SCENARIO = ROOT / "scenarios" / "quickstart.yaml"

WITHOUT_TORCH = """
import contextlib, importlib, io, json, pkgutil, sys
import ecco_emu, netns

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "ultralytics", "cv2", "polars", "matplotlib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
imported = []
for package in (netns, ecco_emu):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.startswith("ecco_emu.trainer.yolo") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            imported.append(module.name)

from ecco_emu import cli
codes, scenario = {}, sys.argv[1]
for verb in (["check", scenario], ["plan", scenario], ["schema"]):
    sys.argv[1:] = verb
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main()
        except SystemExit as end:
            codes[verb[0]] = end.code
print(json.dumps([imported, codes]))
"""


def python(code: str, *arguments: str) -> Any:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_module_but_the_trainers_imports_without_torch():
    imported, codes = python(WITHOUT_TORCH, str(SCENARIO))
    assert {"ecco_emu.emulation.emulation", "ecco_emu.report.html", "ecco_emu.world.town.preview"} <= set(
        imported
    )
    assert codes == {"check": 0, "plan": 0, "schema": 0}


def test_netns_pulls_nothing_else_in():
    code = """
import json, sys
before = set(sys.modules)
import netns
for name in netns.__all__:
    getattr(netns, name)
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""
    foreign = set(python(code)) - set(sys.stdlib_module_names)
    # pyroute2 imports psutil where it finds it
    assert {name for name in foreign if not name.startswith("__")} <= {"netns", "pyroute2", "psutil"}


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in YOLO.modules:
        monkeypatch.setitem(sys.modules, name, None)


VERBS = [["run", str(SCENARIO)], ["pretrain"]]


@pytest.mark.usefixtures("no_torch")
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_a_verb_that_needs_the_extra_says_so_in_one_line(
    verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["ecco-emu", *verb])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 3
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: torch and ultralytics are not installed")
    assert line.endswith("-m pip install 'ecco-emu[yolo]'")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_torch")
def test_the_trainers_processes_are_not_started_without_torch():
    with pytest.raises(HostError, match=r"ecco-emu\[yolo\]"):
        InferenceClient()


def test_the_extra_is_there_and_a_foreign_one_is_not():
    assert YOLO.missing() is None
    assert BENCH.missing() is None
    assert str(Extra("x", ("no_such_module", "json"), "tests").missing()).startswith(
        "no_such_module is not installed, which tests need: "
    )


@pytest.mark.usefixtures("no_torch")
def test_doctor_shows_the_extras_name_in_its_brackets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.argv", ["ecco-emu", "doctor"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 3
    assert "'ecco-emu[yolo]'" in capsys.readouterr().out
