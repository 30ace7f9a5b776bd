"""Students are measured after the run, on the frames of the weather that they ran in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from ecco_emu.core import events as ev
from ecco_emu.core.errors import EccoError, HostError
from ecco_emu.core.frames import Frame, Image
from ecco_emu.core.ids import CameraId, ModelHash
from ecco_emu.emulation.emulation import Emulation
from ecco_emu.emulation.measuring import Measured, Sight, StudentFiles, StudentMeter, run_stretches
from ecco_emu.emulation.stretches import MEASURED_FRAMES
from ecco_emu.record.log import EventLog
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.rundir import RunDirectory
from ecco_emu.scenario import loading
from ecco_emu.tasks.detection import Detections, Labels
from ecco_emu.trainer.backend import MIN_SCORE
from ecco_emu.world.source import ConditionChange, World
from tests.unit.record.synthetic import started

CAM, EMPTY = CameraId("cam1"), CameraId("cam2")
FIRST, SECOND, LATE = (ModelHash(letter * 16) for letter in "123")
BOX = np.array([[10, 10, 60, 60]], np.float32)
TRUTH = Labels(BOX, np.zeros(1, np.int64))
FOG_AT = 10.0
FPS = 5.0
SIGHT = Sight(FPS, (640, 384))


class FogWorld:
    """Fog comes at ``FOG_AT``, and ``EMPTY`` sees nobody. A frame's pixels say its index and its weather."""

    def __init__(self) -> None:
        self.asked: list[tuple[CameraId, int]] = []

    async def frame(self, camera: CameraId, index: int) -> Frame:
        self.asked.append((camera, index))
        await asyncio.sleep(0)
        foggy = index / FPS >= FOG_AT
        return Frame(camera, index, index / FPS, np.full((96, 96, 3), 200 if foggy else 0, np.uint8))

    def labels(self, camera: CameraId, index: int) -> Labels:
        return Labels.empty() if camera == EMPTY else TRUTH

    def condition_changes(self, camera: CameraId) -> list[ConditionChange]:
        return [ConditionChange(0.0, "d", "day"), ConditionChange(FOG_AT, "d", "fog")]

    def settled(self, camera: CameraId, t: float) -> bool:
        return not FOG_AT <= t < FOG_AT + 1


class Inference:
    """``FIRST`` sees by day only, other students in any weather. It knows which students it holds."""

    def __init__(self) -> None:
        self.held: list[ModelHash] = []
        self.scores: set[float] = set()

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        assert weights == f"file of {model}".encode()
        self.held.append(model)

    async def remove_model(self, model: ModelHash) -> None:
        self.held.remove(model)

    async def detect(
        self,
        model: ModelHash,
        images: Sequence[Image],
        *,
        size: tuple[int, int] | None = None,
        min_score: float,
    ) -> list[Detections]:
        assert model in self.held
        assert size == SIGHT.size
        self.scores.add(min_score)
        score, kind = np.ones(1, np.float32), np.zeros(1, np.int64)
        blind = [model == FIRST and bool(image.any()) for image in images]
        return [Detections(BOX + 200 if lost else BOX, score, kind) for lost in blind]


@pytest.fixture
def files(tmp_path: Path) -> StudentFiles:
    models = tmp_path / "models"
    models.mkdir()
    for model in (FIRST, SECOND, LATE):
        (models / f"{model}.safetensors").write_bytes(f"file of {model}".encode())
    return StudentFiles(models, tmp_path / ".measuring")


def run(camera: CameraId) -> list[ev.AnyEvent]:
    """A run of 40 s: ``SECOND`` came at 20 s, ``LATE`` was still on its way at the end."""
    switch = ev.StudentRunning(t=20.0, camera=camera, model=SECOND, transferred_bytes=9, transfer_s=1.0)
    sent = [
        ev.StudentSent(t=t, camera=camera, job="job1", model=m) for t, m in ((18.0, SECOND), (40.0, LATE))
    ]
    return [started(cameras=(CAM, EMPTY), windows=2), *sent, switch]


async def measured(
    files: StudentFiles, events: list[ev.AnyEvent], cameras: Sequence[CameraId] = (CAM,)
) -> tuple[Measured, FogWorld, Inference]:
    world, inference = FogWorld(), Inference()
    files.keep(FIRST)
    for event in events:
        files.see(event)
    plan = run_stretches(RunMetrics.of(events), cast(World, world), FIRST, cameras, 40.0)
    meter = StudentMeter(cast(World, world), inference, files, dict.fromkeys(cameras, SIGHT))
    return await meter.measure(plan, 40.0, lambda done, of: None), world, inference


def steps(outcome: Measured) -> list[tuple[str, float, float, str, float | None, int]]:
    return [(one.model, one.start, one.end, one.weather, one.map, one.frames) for one in outcome.events]


async def test_every_student_is_measured_in_every_weather_it_ran_in_also_the_last(
    files: StudentFiles,
) -> None:
    outcome, world, inference = await measured(files, run(CAM))
    assert steps(outcome) == [
        (FIRST, 0.0, 10.0, "day", pytest.approx(1.0), MEASURED_FRAMES),
        (FIRST, 10.0, 20.0, "fog", 0.0, MEASURED_FRAMES),
        (SECOND, 20.0, 40.0, "fog", pytest.approx(1.0), MEASURED_FRAMES),
        (LATE, 40.0, 40.0, "fog", pytest.approx(1.0), MEASURED_FRAMES),
    ]
    assert outcome.missing == 0
    assert len(world.asked) == 2 * MEASURED_FRAMES  # once a stretch, however many students looked at it
    assert not any(FOG_AT <= index / FPS < FOG_AT + 1 for _, index in world.asked)
    assert (inference.held, inference.scores) == ([], {MIN_SCORE})


async def test_a_scene_without_objects_is_unmeasured(files: StudentFiles) -> None:
    outcome, _, _ = await measured(files, run(EMPTY), [EMPTY])
    assert {one.map for one in outcome.events} == {None}
    assert RunMetrics.of(outcome.events).camera(EMPTY).map is None


async def test_students_that_the_run_prunes_are_measured_all_the_same(
    files: StudentFiles, tmp_path: Path
) -> None:
    events = run(CAM)
    for event in events:
        files.see(event)
    files.keep(FIRST)
    for path in (tmp_path / "models").iterdir():
        path.unlink()
    outcome, _, _ = await measured(files, events)
    assert len(outcome.events) == 4
    files.close()
    assert not (tmp_path / ".measuring").exists()


async def test_a_student_without_a_file_is_left_out_and_counted(files: StudentFiles, tmp_path: Path) -> None:
    (tmp_path / "models" / f"{SECOND}.safetensors").unlink()
    outcome, _, _ = await measured(files, run(CAM))
    assert [one.model for one in outcome.events] == [FIRST, FIRST, LATE]
    assert outcome.missing == 1


def test_the_files_kept_are_bounded_and_the_oldest_go_first(files: StudentFiles, tmp_path: Path) -> None:
    bounded = StudentFiles(tmp_path / "models", tmp_path / "some", most_bytes=2 * 24 + 1)
    for model in (FIRST, SECOND, FIRST, LATE):
        bounded.keep(model)
    assert sorted(path.stem for path in (tmp_path / "some").iterdir()) == [FIRST, LATE]
    with pytest.raises(OSError, match=SECOND):
        bounded.read(SECOND)


async def test_a_world_that_breaks_leaves_no_frame_behind(files: StudentFiles) -> None:
    class Broken(FogWorld):
        async def frame(self, camera: CameraId, index: int) -> Frame:
            if index / FPS >= FOG_AT:
                raise HostError("the renderer died")
            return await super().frame(camera, index)

    plan = run_stretches(RunMetrics.of(run(CAM)), cast(World, Broken()), FIRST, [CAM], 40.0)
    files.keep(FIRST)
    tasks = len(asyncio.all_tasks())
    meter = StudentMeter(cast(World, Broken()), Inference(), files, {CAM: SIGHT})
    with pytest.raises(HostError, match="renderer"):
        await meter.measure(plan, 40.0, lambda done, of: None)
    assert len(asyncio.all_tasks()) == tasks


SCENARIO = """\
version: 1
name: good
windows: {count: 2, length: 20s}
world:
  town:
    districts: [{name: all, center: [0m, 0m], radius: 100m, weather: [{at: 0s, is: day}]}]
cameras:
  - {id: cam1, at: [0m, 0m], source: {look_at: [9m, 0m]}}
expect:
  - {camera: cam1, map: '>= 0.3'}
"""


class EndedSystem:
    """A system whose last window is over at 40 s, while its clock goes on."""

    def __init__(self, outcome: Measured | EccoError) -> None:
        self.t = 40.0
        self.clock = SimpleNamespace(now=lambda: self.t, dilation=1.0)
        self.misses = 0
        self.lag = SimpleNamespace(quantile_ms=lambda q: 0.0)
        self._outcome = outcome

    async def measure(self, metrics: Any, first: Any, files: Any, end: float, progress: Any) -> Measured:
        progress(0, 1)
        self.t += 50.0
        if isinstance(self._outcome, EccoError):
            raise self._outcome
        return self._outcome


async def finished(tmp_path: Path, outcome: Measured | EccoError) -> Emulation:
    """An emulation whose system is a fake; it has had a live glimpse of 0.1."""
    (tmp_path / "good.yaml").write_text(SCENARIO)
    emulation = Emulation(loading.load(tmp_path / "good.yaml", files=False).scenario)
    (tmp_path / "run").mkdir()
    private = cast(Any, emulation)
    private._directory = RunDirectory(tmp_path / "run")
    private._log = EventLog(tmp_path / "run" / "events.jsonl", lambda: 0.0)
    private._system = EndedSystem(outcome)
    private._first = FIRST
    private._students = StudentFiles(tmp_path, tmp_path / "none")
    private._emit(ev.Accuracy(t=39.0, camera="cam1", map=0.1, map50=0.1, frames=8, model=FIRST))
    private._main = asyncio.create_task(asyncio.sleep(0))
    private._main.add_done_callback(lambda _: private._ended())
    await emulation.finish()
    private._log.close()
    return emulation


def step(value: float) -> ev.StudentMeasured:
    return ev.StudentMeasured(
        t=40.0,
        camera="cam1",
        model=LATE,
        start=40.0,
        end=40.0,
        weather="day",
        map=value,
        map50=value,
        frames=32,
    )


async def test_expectations_are_judged_on_measured_students_and_measuring_is_no_time_of_the_run(
    tmp_path: Path,
) -> None:
    emulation = await finished(tmp_path, Measured([step(0.5)], missing=0))
    assert emulation.status == "ok"
    assert [check.detail for check in emulation.metrics.expectations] == ["mAP was 0.500 at the end"]
    assert emulation.metrics.t == emulation.now() == 40.0


async def test_where_measuring_fails_the_glimpses_count_and_the_record_says_so(tmp_path: Path) -> None:
    emulation = await finished(tmp_path, HostError("memory ran out"))
    assert emulation.status == "failed"  # by the glimpse of 0.1
    assert [(one.where, one.text) for one in emulation.metrics.troubles] == [("measuring", "memory ran out")]
