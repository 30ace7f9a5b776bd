"""``ecco-emu replay``, from a run's directory to the comparison of the two."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ecco_emu import cli

SCENARIO = """\
version: 1
name: short
seed: 3
windows: {count: 1, length: 4s, micro: 1s}
trainer: {backend: curve}
drift: {detector: oracle}
transport: {qlog: false}
network: {engine: simulated}
world:
  town:
    seed: 11
    size: 200m
    districts:
      - {name: all, center: [0m, 0m], radius: 100m, weather: [{at: 0s, is: day}, {at: 1s, is: fog}]}
cameras:
  - {id: cam1, at: [-4m, -24m], source: {look_at: [0m, -2m], fps: 5}}
"""


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["ecco-emu", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code if isinstance(end.value.code, int) else 0


def test_a_replay_says_of_which_run_and_how_the_two_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "short.yaml"
    file.write_text(SCENARIO)
    assert command(monkeypatch, "run", file, "--out", tmp_path / "runs", "--quiet") == 0
    [run] = (tmp_path / "runs").iterdir()
    capsys.readouterr()
    assert command(monkeypatch, "replay", run, "--policy", "naive", "--out", tmp_path / "replays") == 0
    told = capsys.readouterr().out
    assert f"replay of {run.name} (policy ecco, trainer curve, engine simulated): policy naive" in told
    assert "policy naive: ok" in told
    assert "recorded: ecco" in told
    assert "replay: naive" in told
    [replay] = (tmp_path / "replays").iterdir()
    manifest = json.loads((replay / "manifest.json").read_text())
    assert manifest["policy"] == "naive"
    assert manifest["replay_of"] == {
        "directory": run.name, "policy": "ecco", "trainer": "curve", "engine": "simulated", "seed": 3,
    }  # fmt: skip
