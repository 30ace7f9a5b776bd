"""How good each student really was, measured after the run on enough frames of the weather it ran in.

Everything here is out of band: the world gives the frames again and their true labels, the cameras' inference
runs the students on them, and nothing flows back into the system. It is done after the run's end, because a
run on a small host has no processor to spare: measuring beside it would slow training and inference down, and
so change what it measures. The time it takes is no part of the run.

A run prunes the students that nothing uses any more. ``StudentFiles`` therefore keeps a second name of every
file that a camera was told to run until it is measured.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ecco_emu.core.events import AnyEvent, StudentMeasured, StudentSent
from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId, ModelHash
from ecco_emu.emulation.stretches import Stretch, frames_of, stretches
from ecco_emu.emulation.workers import StudentInference
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.tasks.detection import DetectionAccuracy, Detections, Labels, mean_average_precision
from ecco_emu.trainer.backend import MIN_SCORE
from ecco_emu.world.source import World

MOST_BYTES = 8e9
"""Of students kept for measuring. Files that the run itself still has take no room of their own."""
BATCH = 8
"""Pictures in one call of the inference process: larger batches are no faster on a CPU."""


class StudentFiles:
    """Keeps the files of students that cameras were told to run, beside the run's own store.

    ``models`` is that store's folder, ``folder`` a new one on the same file system.
    """

    def __init__(self, models: Path, folder: Path, *, most_bytes: float = MOST_BYTES) -> None:
        self._models, self._folder = models, folder
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, int] = OrderedDict()
        """By student, the bytes that its file takes on the disk; the ones told of last at the end."""

    def see(self, event: AnyEvent) -> None:
        if isinstance(event, StudentSent):
            self.keep(event.model)

    def keep(self, model: str) -> None:
        """A student that is not in the store, or cannot be kept, is left out: it stays unmeasured."""
        if model in self._kept:
            self._kept.move_to_end(model)
            return
        source, target = self._models / f"{model}.safetensors", self._path(model)
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            os.link(source, target)
            about = target.stat()
            self._kept[model] = min(about.st_size, about.st_blocks * 512)  # less, where it has holes
        while sum(self._kept.values()) > self._most_bytes:
            oldest, _ = self._kept.popitem(last=False)
            self._path(oldest).unlink(missing_ok=True)

    def read(self, model: str) -> bytes:
        """Raises ``OSError`` when the file is gone."""
        return self._path(model).read_bytes()

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, model: str) -> Path:
        return self._folder / f"{model}.safetensors"


def run_stretches(
    metrics: RunMetrics, world: World, first: ModelHash, cameras: Sequence[CameraId], end: float
) -> list[Stretch]:
    """Every camera's stretches with the students that it ran in them, by the run's events.

    All cameras begin with the student ``first``. ``end`` is the run's end in emulated seconds.
    """
    found = []
    for camera in cameras:
        seen = metrics.camera(camera)
        switches = [(0.0, first), *((event.t, ModelHash(event.model)) for event in seen.students)]
        sent = seen.students_sent[-1] if seen.students_sent else None
        waiting = sent is not None and sent.model != switches[-1][1]
        on_its_way = ModelHash(sent.model) if sent is not None and waiting else None
        found += stretches(camera, world.condition_changes(camera), switches, on_its_way, end)
    return found


@dataclass(frozen=True, slots=True)
class Measured:
    """The outcome of measuring a run."""

    events: list[StudentMeasured]
    missing: int
    """Pairs of a student and a stretch whose student's file was no longer there."""


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """The frames of a stretch and the truth about them."""

    frames: list[Frame]
    labels: list[Labels]


@dataclass(frozen=True, slots=True)
class Sight:
    """How a camera looks: its frame clock, and the size in which its student sees the pictures."""

    fps: float
    size: tuple[int, int] | None = None
    """Width and height in pixels; None: the size that the student was made for."""


class StudentMeter:
    """Measures students by their stretches, each in the size in which its camera runs it."""

    def __init__(
        self,
        world: World,
        inference: StudentInference,
        files: StudentFiles,
        sights: Mapping[CameraId, Sight],
    ) -> None:
        self._world = world
        self._inference = inference
        self._files = files
        self._sights = sights

    async def measure(
        self, plan: Sequence[Stretch], t: float, progress: Callable[[int, int], None]
    ) -> Measured:
        """Each student of each stretch; ``t`` goes into the events. ``progress(done, of)`` counts students.

        Raises ``HostError`` when a worker process dies.
        """
        plan = [stretch for stretch in plan if stretch.students]
        events: list[StudentMeasured] = []
        missing, done, of = 0, 0, sum(len(_models(stretch)) for stretch in plan)
        ahead: asyncio.Task[_View] | None = None
        try:
            for place, stretch in enumerate(plan):
                view = await (ahead or self._view(stretch))
                # the next stretch is rendered while students look at this one
                rest = plan[place + 1 :]
                ahead = asyncio.create_task(self._view(rest[0])) if rest else None
                for model in _models(stretch):
                    progress(done, of)
                    done += 1
                    found = await self._accuracy(model, view, self._sights[stretch.camera].size)
                    missing += found is None
                    events += _events(stretch, model, found, len(view.frames), t) if found else []
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)
        progress(done, of)
        return Measured(events, missing)

    async def _view(self, stretch: Stretch) -> _View:
        camera = stretch.camera
        indices = frames_of(stretch, self._sights[camera].fps, lambda t: self._world.settled(camera, t))
        view = _View([], [])
        for index in indices:
            view.frames.append(await self._world.frame(camera, index))
            # at once: a world keeps the labels of a bounded number of frames
            view.labels.append(self._world.labels(camera, index))
        return view

    async def _accuracy(
        self, model: ModelHash, view: _View, size: tuple[int, int] | None
    ) -> DetectionAccuracy | None:
        """None if the student's file is gone."""
        try:
            weights = await asyncio.to_thread(self._files.read, model)
        except OSError:
            return None
        seen: list[Detections] = []
        await self._inference.add_model(model, weights)
        try:
            images = [frame.image for frame in view.frames]
            for place in range(0, len(images), BATCH):
                seen += await self._inference.detect(
                    model, images[place : place + BATCH], size=size, min_score=MIN_SCORE
                )
        finally:
            await self._inference.remove_model(model)
        return await asyncio.to_thread(mean_average_precision, view.labels, seen)


def _models(stretch: Stretch) -> list[ModelHash]:
    return list(dict.fromkeys(student.model for student in stretch.students))


def _events(
    stretch: Stretch, model: ModelHash, found: DetectionAccuracy, frames: int, t: float
) -> list[StudentMeasured]:
    """One for each time in the stretch at which the camera ran the student."""
    known = found.objects > 0
    return [
        StudentMeasured(
            t=t,
            camera=stretch.camera,
            model=model,
            start=student.start,
            end=student.end,
            weather=stretch.condition,
            map=found.map if known else None,
            map50=found.map50 if known else None,
            frames=frames,
        )
        for student in stretch.students
        if student.model == model
    ]
