"""Streams of detections: recorded students look at rendered frames of still cameras.

Events of a run tell no single frame's scores. So some of the students that runs have kept are run again, on
frames of the same town, for minutes. The streams can be kept in a file, to fit again without that.
"""

from __future__ import annotations

import json
import zipfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np

from ecco_emu.bench.curve.recorded import RecordedRun, TrainedStudent, first_student
from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.ids import ModelHash, model_hash
from ecco_emu.host.workers import WorkerProcess
from ecco_emu.record.rundir import RunDirectory
from ecco_emu.scenario.sections.world import TownSection, Weather
from ecco_emu.tasks.detection import Detections, Labels, mean_average_precision
from ecco_emu.trainer.backend import LabelledImage
from ecco_emu.trainer.client import InferenceClient
from ecco_emu.world.town.renderer import TownRenderer
from ecco_emu.world.town.views import Viewpoint, view_of
from ecco_emu.world.town.weather import Conditions

FPS = 5.0
SIZE = (320, 192)
START_S = 60.0
"""Runs are over by then: none of these frames was trained on."""
OWN_FRAMES, FOREIGN_FRAMES = 160, 40
"""Of a view, under the student's own condition and under each other one."""
VIEWS = 4
"""Views under the own condition; half of them under others."""
STUDENTS = 3
"""Trained students of each condition."""
LEAST_SCORE = 0.005
T = TypeVar("T")
WEATHERS: tuple[Weather, ...] = get_args(Weather)


@dataclass(frozen=True, slots=True)
class WatchedStream:
    """A student's detections in a still camera's frames under one condition, ``FPS`` of them a second."""

    student: str
    own: str
    """The condition that it was trained for."""
    steps: int
    """Of its training since the first student; 0 for that one."""
    condition: str
    view: int
    truth: tuple[Labels, ...]
    found: tuple[Detections, ...]

    @property
    def map(self) -> float:
        return mean_average_precision(self.truth, self.found).map


async def watch(
    runs: Sequence[RecordedRun], students: Sequence[TrainedStudent], progress: Callable[[str], None]
) -> list[WatchedStream]:
    """Renders and looks: some minutes on one core."""
    chosen = _choose(runs, students)
    scenario = runs[0].scenario
    views = [view_of(camera) for camera in _spread(scenario.cameras, VIEWS)]
    painter, inference = WorkerProcess("rendering"), InferenceClient()
    frames: dict[tuple[Weather, int], list[LabelledImage]] = {}
    streams = []
    try:
        await inference.start()
        for number, (model, own, steps, weights) in enumerate(chosen, start=1):
            progress(f"student {number} of {len(chosen)}, of {own}, looks at {VIEWS} views")
            await inference.add_model(model, weights)
            for weather in WEATHERS:
                foreign = weather != own
                for place in range(0, VIEWS, 2 if foreign else 1):
                    key = weather, place
                    if key not in frames:
                        frames[key] = await painter.call(
                            shoot, scenario.world.town, scenario.seed, views[place], weather
                        )
                    shown = frames[key][: 2 * FOREIGN_FRAMES : 2] if foreign else frames[key]
                    found = await inference.detect(
                        model, [image for image, _ in shown], min_score=LEAST_SCORE
                    )
                    truth = tuple(labels for _, labels in shown)
                    streams.append(WatchedStream(model, own, steps, weather, place, truth, tuple(found)))
            await inference.remove_model(model)
    finally:
        await inference.close()
        painter.close()
    return streams


def shoot(town: TownSection, seed: int, view: Viewpoint, weather: Weather) -> list[LabelledImage]:
    """A view's frames. Runs in the process that renders."""
    renderer = TownRenderer(town, seed, SIZE)
    try:
        return [
            renderer.render(view, START_S + index / FPS, Conditions.steady(weather), index)
            for index in range(OWN_FRAMES)
        ]
    finally:
        renderer.close()


def _choose(
    runs: Sequence[RecordedRun], students: Sequence[TrainedStudent]
) -> list[tuple[ModelHash, str, int, bytes]]:
    """The first student, and a few of each condition from weak to strong, as far as their files were kept."""
    files = {path.stem: path for run in runs for path in RunDirectory.open(run.directory).models.iterdir()}
    first = first_student(runs[0])
    if first not in files:
        raise ScenarioError(f"{runs[0].directory} has lost the first student's file, {first}.safetensors")
    by_condition: defaultdict[str, list[TrainedStudent]] = defaultdict(list)
    for student in sorted(students, key=lambda each: (each.accuracy, each.model)):
        if student.model in files:
            by_condition[student.condition].append(student)
    wanted = [(first, "day", 0)]
    for condition, several in sorted(by_condition.items()):
        wanted += [(each.model, condition, each.steps) for each in _spread(several, STUDENTS)]
    chosen = []
    for model, own, steps in wanted:
        weights = files[model].read_bytes()
        chosen.append((model_hash(weights), own, steps, weights))
    return chosen


def _spread(several: Sequence[T], count: int) -> list[T]:
    """At most so many, evenly spread, the first and the last among them."""
    if len(several) <= count:
        return list(several)
    return [several[round(place * (len(several) - 1) / (count - 1))] for place in range(count)]


def save(streams: Sequence[WatchedStream], path: Path) -> None:
    """Writes streams to an npz file."""
    arrays: dict[str, Any] = {}
    heads = []
    for number, each in enumerate(streams):
        heads.append([each.student, each.own, each.steps, each.condition, each.view])
        arrays[f"{number} objects"] = [len(labels) for labels in each.truth]
        arrays[f"{number} true boxes"] = np.concatenate([labels.boxes for labels in each.truth])
        arrays[f"{number} true classes"] = np.concatenate([labels.classes for labels in each.truth])
        arrays[f"{number} detections"] = [len(seen) for seen in each.found]
        arrays[f"{number} boxes"] = np.concatenate([seen.boxes for seen in each.found])
        arrays[f"{number} scores"] = np.concatenate([seen.scores for seen in each.found])
        arrays[f"{number} classes"] = np.concatenate([seen.classes for seen in each.found])
    np.savez_compressed(path, heads=json.dumps(heads), **arrays)


def read(path: Path) -> list[WatchedStream] | None:
    """The streams in a file that ``save`` wrote; None if there is no file.

    Raises ``ScenarioError`` for any other file.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return [_stream(file, number, head) for number, head in enumerate(json.loads(str(file["heads"])))]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ScenarioError(f"{path} is no file of streams: {error}") from error


def _stream(file: Any, number: int, head: list[Any]) -> WatchedStream:
    def parts(name: str, counts: str) -> list[Any]:
        ends = np.cumsum(file[f"{number} {counts}"])[:-1]
        return np.split(file[f"{number} {name}"], ends)

    truth = [
        Labels(boxes, classes)
        for boxes, classes in zip(
            parts("true boxes", "objects"), parts("true classes", "objects"), strict=True
        )
    ]
    found = [
        Detections(boxes, scores, classes)
        for boxes, scores, classes in zip(
            *(parts(name, "detections") for name in ("boxes", "scores", "classes")), strict=True
        )
    ]
    student, own, steps, condition, view = head
    return WatchedStream(student, own, steps, condition, view, tuple(truth), tuple(found))
