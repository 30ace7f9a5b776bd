"""Replays of recorded runs: made from a run directory alone, refused where that is not enough."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ecco_emu.core import events as ev
from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.faults import LinkDown
from ecco_emu.emulation.assembly import run_started
from ecco_emu.emulation.replay import ReplayedRun, prepare
from ecco_emu.record.log import EventLog
from ecco_emu.record.rundir import RunDirectory
from ecco_emu.scenario import loading
from ecco_emu.scenario.dump import dump

BEGUN = "begun"


def recorded(base: Path, *overrides: str, faults: int = 0, events: str = BEGUN) -> RunDirectory:
    """A run of uplink-flap, which has one fault, as root ran it on real links; ``faults`` came by hand."""
    scenario = loading.load("faults/uplink-flap", ["seed=5", *overrides], files=False).scenario
    run = RunDirectory.create(base, scenario.name, datetime(2026, 11, 23, tzinfo=UTC))
    run.write_scenario(dump(scenario))
    run.write_manifest({"version": 1, "policy": scenario.policy.name})
    with EventLog(run.events_path, lambda: 0.0) as log:
        if events == BEGUN:
            log.append(run_started(scenario, engine="relay", dilation=5.8))
        for index in range(1 + faults):
            log.append(
                ev.FaultApplied(
                    t=8.0, index=index, phase="start", change=LinkDown("cam2"), requested=8.0, applied=8.0
                )
            )
    return run


def test_a_replay_is_the_recorded_scenario_simulated_with_modelled_training(tmp_path: Path) -> None:
    run = recorded(tmp_path, "windows.count=3")
    made = prepare(run.path, policy="naive", overrides=["trainer.gpus=4"])
    scenario = made.emulation.scenario
    assert made.recorded == ReplayedRun("20261123T000000Z-uplink-flap", "ecco", "yolo", "relay", 5)
    assert made.cautions == ()
    assert (scenario.policy.name, scenario.trainer.backend) == ("naive", "curve")
    assert scenario.simulated
    assert (scenario.seed, scenario.windows.count, scenario.trainer.gpus) == (5, 3, 4)


def test_without_a_policy_it_is_the_recorded_one_and_a_seed_is_taken(tmp_path: Path) -> None:
    scenario = prepare(recorded(tmp_path).path, seed=8).emulation.scenario
    assert (scenario.policy.name, scenario.seed) == ("ecco", 8)


def test_what_is_not_in_the_replay_is_told(tmp_path: Path) -> None:
    run = recorded(tmp_path, "trainer.teacher=/elsewhere/x.safetensors", faults=2)
    made = prepare(run.path)
    assert made.cautions == (
        "Its teacher was a model; the replay's labels are the world's own, at the same cost.",
        "While it ran, 2 faults came by hand: not in its scenario, and not in the replay.",
    )
    trainer = made.emulation.scenario.trainer
    assert (trainer.teacher, trainer.label_cost) == ("oracle", 10.0)


def test_a_student_without_a_fit_is_refused_unless_another_is_named(tmp_path: Path) -> None:
    run = recorded(tmp_path, "trainer.student=/elsewhere/mine.safetensors")
    with pytest.raises(ScenarioError, match=r"mine\.safetensors has no fit for the trainer curve.*--set"):
        prepare(run.path)
    made = prepare(run.path, overrides=["trainer.student=yolo11n-town"])
    assert made.emulation.scenario.trainer.student == "yolo11n-town"


def test_a_run_that_ended_before_it_began_is_refused(tmp_path: Path) -> None:
    run = recorded(tmp_path, events="none")
    with pytest.raises(ScenarioError, match=r"ended before it began.*--engine simulated"):
        prepare(run.path)


def test_a_run_without_its_scenario_is_refused(tmp_path: Path) -> None:
    run = recorded(tmp_path)
    run.scenario_path.unlink()
    with pytest.raises(ScenarioError, match=r"cannot be replayed: its scenario\.yaml is missing"):
        prepare(run.path)


def test_a_run_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    run = recorded(tmp_path)
    run.write_manifest({"version": 2})
    with pytest.raises(ScenarioError, match="manifest is of version 2, and this program knows version 1"):
        prepare(run.path)
    run = recorded(tmp_path)
    run.scenario_path.write_text(run.scenario_path.read_text().replace("version: 1", "version: 2"))
    with pytest.raises(ScenarioError, match=r"scenario\.yaml:1:10: version"):
        prepare(run.path)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="is not a run directory"):
        prepare(tmp_path)
