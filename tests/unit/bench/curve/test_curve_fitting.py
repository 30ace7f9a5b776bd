"""The fit of the trainer ``curve``: what is read of recorded runs, and how decisions are taken again."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ecco_emu.bench.curve import alarms, command, seeing, watched
from ecco_emu.bench.curve.command import as_yaml
from ecco_emu.bench.curve.learning import fit_learning
from ecco_emu.bench.curve.recorded import (
    RecordedRun,
    TrainedStudent,
    first_accuracies,
    read_runs,
    trained_students,
)
from ecco_emu.bench.curve.replay import between_runs, replay
from ecco_emu.bench.curve.seeing import Scene, character, simulate, with_levels
from ecco_emu.bench.curve.watched import WatchedStream
from ecco_emu.core import events as ev
from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.ids import CameraId
from ecco_emu.record.log import EventLog
from ecco_emu.record.rundir import RunDirectory
from ecco_emu.scenario.profiles import scenario_path
from ecco_emu.tasks.detection import Detections, Labels
from ecco_emu.trainer.curve.fit import load_fit
from ecco_emu.world.sketch.world import SketchWorld

FIRST, FOG, NIGHT, LATER = "a" * 16, "b" * 16, "c" * 16, "d" * 16
HARBOUR = ("harbour1", "harbour2", "harbour3")


def micro(index: int, job: str | None, before: float, after: float, window: int = 0) -> ev.MicroWindow:
    start = window * 16 + index * 2.0
    return ev.MicroWindow(
        t=start + 1.5,
        window=window,
        index=index,
        start=start,
        job=job,
        steps=6 if job else 0,
        images=48 if job else 0,
        map_before=before if job else None,
        map_after=after if job else None,
        budget=64.0,
        charged=8.0,
    )


def configured(t: float, camera: str) -> ev.CameraConfigured:
    return ev.CameraConfigured(t=t, camera=camera, state="streaming", fps=5, width=320, height=192, alpha=1.0)


def measured(camera: str, model: str, weather: str, accuracy: float | None, start: float = 9.0):
    return ev.StudentMeasured(
        t=33.0, camera=camera, model=model, start=start, end=16.0, weather=weather,
        map=accuracy, map50=accuracy, frames=32,
    )  # fmt: skip


def story(trainer: str = "yolo") -> list[ev.AnyEvent]:
    """Two harbour cameras in fog share a job, the hill's in the night has its own; one is split off."""
    weathers = [(camera, "harbour", 6.0, "fog") for camera in HARBOUR] + [("hill1", "hill", 8.0, "night")]
    told: list[ev.AnyEvent] = [
        ev.RunStarted(
            t=0.0, name="quickstart", policy="ecco", engine="relay", dilation=4.0, seed=7, trainer=trainer,
            gpus=2, window_s=16.0, micro_s=2.0, windows=3, cameras=[*HARBOUR, "hill1", "station1"],
            bottleneck_bps=2e6,
        )
    ]  # fmt: skip
    for camera, district, change, weather in weathers:
        told.append(ev.Condition(t=0.0, camera=camera, district=district, weather="day"))
        told.append(ev.Condition(t=change, camera=camera, district=district, weather=weather))
    for camera, _, change, _ in weathers[:2] + weathers[3:]:
        told.append(
            ev.DriftNoticed(
                t=change + 1, camera=camera, detector="page-hinkley", statistic=0.1, since=change + 0.4
            )
        )
        told.append(ev.RequestReceived(t=change + 2, camera=camera, model=FIRST))
    told += [
        ev.JobCreated(t=8.1, job="job1", camera="harbour1", model=FIRST, gains={}),
        configured(8.1, "harbour1"),
        ev.RequestDeferred(t=8.2, camera="harbour2", gains={"job1": 0.0}, times=1),
        micro(4, "job1", 0.01, 0.3),
        ev.JobJoined(t=9.6, job="job1", camera="harbour2", gains={"job1": 0.15}),
        configured(9.6, "harbour2"),
        ev.JobCreated(t=10.1, job="job2", camera="hill1", model=FIRST, gains={}),
        configured(10.1, "hill1"),
        micro(5, "job2", 0.02, 0.25),
        micro(6, "job1", 0.15, 0.2),
        micro(7, "job2", 0.2, 0.22),
        ev.StudentSent(t=16.5, camera="harbour1", job="job1", model=FOG),
        ev.StudentSent(t=16.5, camera="harbour2", job="job1", model=FOG),
        ev.StudentSent(t=16.6, camera="hill1", job="job2", model=NIGHT),
        ev.WindowEnded(t=16.7, window=0, start=0.0, groups=[]),
        ev.StudentRunning(t=18.0, camera="harbour2", model=FOG, transferred_bytes=1, transfer_s=1.0),
        *(micro(index, "job1" if index % 2 else "job2", 0.2, 0.25, window=1) for index in range(8)),
        ev.JobLeft(t=32.5, job="job1", camera="harbour2", drop=0.2),
        ev.JobCreated(t=32.6, job="job3", camera="harbour2", model=FOG, gains={"job2": 0.0}),
        micro(0, "job3", 0.1, 0.2, window=2),
        ev.StudentSent(t=34.0, camera="harbour2", job="job3", model=LATER),
        measured("harbour1", FIRST, "day", 0.5, start=0.0),
        measured("harbour2", FIRST, "day", 0.4, start=0.0),
        measured("harbour1", FOG, "fog", 0.2),
        measured("harbour2", FOG, "fog", 0.3),
        measured("harbour2", FOG, "rain", 0.1),
        measured("hill1", NIGHT, "night", None),
        measured("harbour2", LATER, "fog", 0.4),
    ]
    return told


def recorded(folder: Path, told: list[ev.AnyEvent]) -> Path:
    run = RunDirectory.create(folder, "quickstart", datetime(2026, 1, 1, tzinfo=UTC))
    run.write_scenario(scenario_path("quickstart").read_text())
    log = EventLog(run.events_path, lambda: 0.0)
    for event in told:
        log.append(event)
    log.close()
    return run.path


@pytest.fixture
def run(tmp_path: Path) -> RecordedRun:
    return read_runs([recorded(tmp_path, story())])[0]


def test_students_are_read_with_their_training(run: RecordedRun) -> None:
    """The night's could not be measured; the last one did not begin from the first student."""
    (found,) = trained_students(run)
    assert found == TrainedStudent(
        scenario="quickstart",
        job="job1",
        model=FOG,
        condition="fog",
        cameras=2,
        micro_windows=2,
        steps=12,
        images=96,
        accuracy=0.25,
        measured_on=2,
    )
    assert first_accuracies([run]) == {"day": pytest.approx(0.45)}


def test_only_runs_of_real_training_are_fitted_to(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="is a run of 'curve': the model is fitted to runs of 'yolo'"):
        read_runs([recorded(tmp_path, story(trainer="curve"))])
    with pytest.raises(ScenarioError, match="does not exist"):
        read_runs([tmp_path / "none"])


def students(most: float, half: float, steepness: float) -> list[TrainedStudent]:
    """As this curve would have them, of two scenarios."""
    made = []
    for scenario in ("one", "two"):
        for place, steps in enumerate((2, 5, 10, 20, 40, 80, 160)):
            accuracy = most / (1 + (half / steps) ** steepness)
            made.append(
                TrainedStudent(
                    scenario, "job1", f"{place:016x}", "fog", 1, place + 1, steps, steps, accuracy, 2
                )
            )
    return made


def test_a_curve_is_found_again() -> None:
    found = fit_learning(students(0.45, 10.0, 0.8), {"fog": 0.0, "day": 0.5}, load_fit().learning)
    curve = found.learning.conditions["fog"]
    assert (curve.most, curve.half, curve.steepness) == pytest.approx((0.45, 10.0, 0.8), rel=0.1)
    assert np.abs(found.errors).max() < 0.01
    assert found.learning.conditions["day"].first == 0.5
    assert found.learning.conditions["day"].most >= 0.5


def test_without_students_nothing_is_fitted() -> None:
    with pytest.raises(ScenarioError, match="nothing can be fitted"):
        fit_learning([], {}, load_fit().learning)


async def test_decisions_are_taken_again(run: RecordedRun) -> None:
    world, fit = SketchWorld(run.scenario), load_fit()
    found = await replay(run, world, fit, seed=1)
    # from the second micro-window with two jobs on; the first of each is the initial pass
    assert found.allocation.of == 12
    assert found.allocation.chance == pytest.approx(11 / 2 + 1 / 3)
    assert found.joins.of == 3  # deferred, joined, founded beside another
    assert sum(found.splits.values()) == 3  # measured at two windows' ends
    assert sum(count for (left, _), count in found.splits.items() if left) == 1
    assert len(found.gains) == 13
    assert [recorded for recorded, _ in found.first_gains] == pytest.approx([0.29, 0.23, 0.1])
    assert all(math.isfinite(value) for pair in found.gains for value in pair)
    again = await replay(run, world, fit, seed=1)
    assert again == found
    found += again
    assert found.allocation.of == 24


def test_two_real_runs_are_compared_by_their_cameras(run: RecordedRun) -> None:
    assert between_runs([run]).of == 0
    both = between_runs([run, run])
    assert both.same == both.of > 0


def test_alarms_of_runs(run: RecordedRun) -> None:
    heard = alarms.recorded([run])
    assert heard.delays_s["fog"] == [1.0, 1.0]
    assert heard.delays_s["night"] == [1.0]
    assert (heard.missed, heard.false) == (1, 0)
    assert heard.steady_s == 3 * 6 + 8 + 48  # the station's day stays
    assert heard.false_per_minute == 0.0


def stream(view: int = 0) -> WatchedStream:
    """Cars that drive by, some of which were found."""
    truth, found = [], []
    for index in range(160):
        x = np.arange(4) * 60 + index % 50
        boxes = np.stack([x, x / 3 + 20, x + 40, x / 3 + 50], axis=1).astype(np.float32)
        classes = np.array([0, 1, 2, 0])
        truth.append(Labels(boxes, classes))
        found.append(Detections(boxes[:2] + 1, np.array([0.9, 0.6], np.float32), classes[:2]))
    return WatchedStream(FOG, "fog", 12, "fog", view, tuple(truth), tuple(found))


def test_streams_come_back_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "streams.npz"
    assert watched.read(file) is None
    watched.save([stream(0), stream(1)], file)
    again = watched.read(file)
    assert again is not None
    assert [(each.student, each.own, each.steps, each.view) for each in again] == [
        (FOG, "fog", 12, 0),
        (FOG, "fog", 12, 1),
    ]
    assert again[1].map == stream(1).map > 0
    file.write_bytes(b"PK and no more")
    with pytest.raises(ScenarioError, match="no file of streams"):
        watched.read(file)


def test_levels_are_those_whose_accuracy_is_the_skill() -> None:
    fit, several = load_fit(), [stream(view) for view in range(3)]
    levelled = with_levels(fit, fit.seeing, [Scene.of(each) for each in several])
    assert list(levelled.levels) == sorted(levelled.levels)
    plain = {name: curve.model_copy(update={"ease": 0.0}) for name, curve in fit.learning.conditions.items()}
    model = fit.model_copy(
        update={"seeing": levelled, "learning": fit.learning.model_copy(update={"conditions": plain})}
    )
    assert simulate(model, several, 0.3).map == pytest.approx(0.3, abs=0.05)
    real = character((each.truth, each.found) for each in several)
    assert real.confidence == pytest.approx(0.75)
    assert real.window_sd == pytest.approx(0.0, abs=1e-9)


async def test_the_whole_fit(run: RecordedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a run and streams to a file that can be read, with tables of all residuals."""
    monkeypatch.setattr(seeing, "_EVALUATIONS", 1)
    monkeypatch.setattr(seeing, "_LEVELS", np.arange(-9.0, 9.1, 4.5))
    monkeypatch.setattr(seeing, "_SCENE_FRAMES", 4)
    monkeypatch.setattr(seeing, "SURE_GAINS", (0.4,))
    monkeypatch.setattr(command, "FADING", (2.0,))
    file, target = tmp_path / "streams.npz", tmp_path / "mine.yaml"
    clear = replace(stream(), student=FIRST, own="day", steps=0, condition="day")
    watched.save([stream(), clear, replace(stream(), condition="day")], file)
    report = await command.fit_curve(
        [run.directory], base=None, streams_file=file, seeds=1, progress=lambda text: None
    )
    report.write(target)
    assert load_fit(target) == report.fit
    assert report.fit.provenance["runs"] == [
        {"scenario": "quickstart", "seed": 7, "policy": "ecco", "runs": 1}
    ]
    assert report.fit.residuals["students"] == 1
    assert report.fit.learning.conditions["day"].first == pytest.approx(0.45)
    assert 0 <= report.fit.learning.familiarity <= 1
    rows = {table.title: len(table.rows) for table in report.tables()}
    assert list(rows.values()) == [1, 2, 2, 4]
    assert report.heard.delays_s["fog"] == [1.0, 1.0]
    drifted = sum(map(len, report.modelled.delays_s.values())) + report.modelled.missed
    assert drifted == 4
    assert report.as_data()["provenance"]["frames"] == 480


def test_a_fit_is_written_as_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "fit.yaml"
    file.write_text(as_yaml(load_fit()))
    assert load_fit(file) == load_fit()
    assert "bench curve" in file.read_text().splitlines()[1]


def test_scenes_have_a_camera_of_their_own() -> None:
    assert Scene.of(stream(2)).camera == CameraId("view2")
