"""The rehearsal before a run with ``dilation: auto``: its work, for a few seconds, on its own pictures.

Speeds depend on the load and on the pictures. So the training process trains and measures, while the other
processes render, look at, encode and decode frames beside it and beside each other, with the pauses that they
have in a run. The frames are of the scenario's cameras, in the weathers that they will have, and the student
is their first.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, TypeVarTuple

from ecco_emu.core.frames import Frame, Image
from ecco_emu.core.ids import CameraId, ModelHash
from ecco_emu.emulation.accuracy import SPAN_S
from ecco_emu.emulation.calibration import REFERENCE_PX, Expected, HostSpeed, background_duty
from ecco_emu.host.processors import allowed_processors
from ecco_emu.scenario import schema
from ecco_emu.scenario.sections.cameras import SourceSection
from ecco_emu.tasks.detection import Detections, Labels, mean_average_precision
from ecco_emu.trainer.backend import LabelledImage, Speed, TrainerBackend
from ecco_emu.trainer.client import InferenceClient
from ecco_emu.video.decoder import decode
from ecco_emu.video.encoder import SegmentEncoder
from ecco_emu.world.source import World

PICTURES = 12
"""Most pictures that training and evaluation are measured with."""
CAMERAS = 8
"""Most cameras that they are taken from, spread over the list."""
SEGMENT_FRAMES = 5
SEGMENT_BITS = 300_000
STREAMS = 2
"""Segments that are under way at the same time. In a run the processes work side by side too, and take caches
and memory from each other."""
LOOKS_PER_STEP = 3.4
"""A picture's part of a training step over looking at a picture: the forward pass is 29 % of the step."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(slots=True)
class RehearsalPicture:
    """A frame of the run to come, with its truth."""

    frame: Frame
    labels: Labels


async def take_pictures(scenario: schema.Scenario, world: World) -> list[RehearsalPicture]:
    """A few frames of a few cameras, from the middle of every stretch of one condition."""
    cameras = _spread([camera.id for camera in scenario.cameras], CAMERAS)
    fps = {camera.id: camera.source.fps for camera in scenario.cameras}
    # a camera's first stretch, the next camera's, ...: all cameras come before any camera's second picture
    stretches = itertools.zip_longest(
        *([(camera, t) for t in _middles(scenario, world, camera)] for camera in cameras)
    )
    wanted = [each for row in stretches for each in row if each is not None]
    pictures = []
    for name, t in _spread(wanted, PICTURES):
        camera = CameraId(name)
        frame = await world.frame(camera, int(t * fps[name]))
        pictures.append(RehearsalPicture(frame, world.labels(camera, frame.index)))
    return pictures


async def rehearse(
    scenario: schema.Scenario,
    pictures: Sequence[RehearsalPicture],
    student: ModelHash,
    trainer: TrainerBackend,
    inference: InferenceClient,
    world: World,
    threads: int,
    expected: Expected,
) -> HostSpeed:
    """Measures this host. ``student`` was added to both processes; the trainer has ``threads`` threads."""
    cores = allowed_processors()
    labelled: list[LabelledImage] = [(each.frame.image, each.labels) for each in pictures]
    sources = {camera.id: camera.source for camera in scenario.cameras}
    background = _Background(scenario, inference, world, student, pictures, sources, cores, threads)
    training = asyncio.ensure_future(trainer.calibrate(student, labelled))
    if cores <= threads:  # one core for everything: beside each other, each would be counted twice
        await training
    await background.run_beside(training, expected)
    return background.with_training(await training)


@dataclass(slots=True)
class _Cost:
    """Seconds of the wall that some kind of work took, by its amount. One at a time is under way, so that
    waiting for the other is not counted."""

    amount: float = 0.0
    seconds: float = 0.0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def mean_s(self) -> float:
        return self.seconds / self.amount

    async def of(self, work: Awaitable[T], amount: float) -> tuple[T, float]:
        """The result of ``work``, and how long it took."""
        async with self._turn:
            started = time.perf_counter()
            result = await work
            took_s = time.perf_counter() - started
        self.seconds += took_s
        self.amount += amount
        return result, took_s


@dataclass(slots=True)
class _Background:
    """The cameras' side of a run, and the record's."""

    scenario: schema.Scenario
    inference: InferenceClient
    world: World
    student: ModelHash
    pictures: Sequence[RehearsalPicture]
    sources: Mapping[str, SourceSection]
    cores: int
    threads: int
    duty: float = 1.0
    """The part of the time in which one stream works. In a run it has pauses, in which training is faster."""
    rendering: _Cost = field(default_factory=_Cost)
    looking: _Cost = field(default_factory=_Cost)
    coding: _Cost = field(default_factory=_Cost)
    measuring: _Cost = field(default_factory=_Cost)
    _began_cpu_s: float = field(default_factory=time.process_time)
    _counted_cpu_s: float = 0.0
    """CPU of this process that coding and measuring took."""

    async def run_beside(self, training: asyncio.Future[Speed], expected: Expected) -> None:
        """Goes on until ``training`` is done, for a segment of each stream at least after the first one: the
        first of each kind is slow."""
        rest = self._frames()
        await self._segment(rest)
        self.duty = background_duty(self.scenario, self.with_training(self._guess()), expected) / STREAMS
        self.rendering, self.looking, self.coding, self.measuring = _Cost(), _Cost(), _Cost(), _Cost()
        self._began_cpu_s, self._counted_cpu_s = time.process_time(), 0.0
        await asyncio.gather(*(self._stream(rest, training) for _ in range(STREAMS)))

    async def _stream(self, frames: Iterator[tuple[CameraId, int]], training: asyncio.Future[Speed]) -> None:
        while True:
            await self._segment(frames)
            if training.done():
                return

    def with_training(self, trained: Speed) -> HostSpeed:
        return HostSpeed(
            train_images_per_s=trained.train_images_per_s,
            infer_images_per_s=trained.inference_images_per_s,
            edge_images_per_s=1 / self.looking.mean_s,
            cores=self.cores,
            trainer_threads=self.threads,
            micro_s=trained.micro_s,
            export_s=trained.export_s,
            render_s=self.rendering.mean_s,
            frame_s=self._frame_s(),
            codec_s=self.coding.mean_s,
            metric_s=self.measuring.mean_s,
        )

    def _frame_s(self) -> float:
        """CPU of this process but for coding and measuring, which are counted by themselves."""
        return (time.process_time() - self._began_cpu_s - self._counted_cpu_s) / self.looking.amount

    def _guess(self) -> Speed:
        """Training's speed, as far as the cameras' inference tells. It only decides how long pauses are."""
        looks_per_s = self.threads / self.looking.mean_s
        return Speed(looks_per_s / LOOKS_PER_STEP, looks_per_s)

    async def _segment(self, frames: Iterator[tuple[CameraId, int]]) -> None:
        images: list[Image] = []
        truth: list[Labels] = []
        found: list[Detections] = []
        for camera, index in itertools.islice(frames, SEGMENT_FRAMES):
            source = self.sources[camera]
            width, height = source.size
            frame, rendered_s = await self.rendering.of(
                self.world.frame(camera, index), width * height / REFERENCE_PX
            )
            looking = self.inference.detect(self.student, [frame.image], size=source.infer_size)
            [seen], looked_s = await self.looking.of(looking, 1.0)
            images.append(frame.image)
            truth.append(self.world.labels(camera, index))
            found.append(seen)
            await self._pause(rendered_s + looked_s)
        alike = [image for image in images if image.shape == images[0].shape]
        pixels = sum(image.shape[0] * image.shape[1] for image in alike)
        cpu_s, coded_s = await self.coding.of(asyncio.to_thread(_cpu_s, _code, alike), pixels / REFERENCE_PX)
        self._counted_cpu_s += cpu_s
        watched = round(SPAN_S * self.scenario.drift.infer_fps)
        measuring = asyncio.to_thread(_cpu_s, _measure, truth, found, watched)
        cpu_s, measured_s = await self.measuring.of(measuring, 1.0)
        self._counted_cpu_s += cpu_s
        await self._pause(coded_s + measured_s)

    async def _pause(self, worked_s: float) -> None:
        """Rests for so long that the work before the pause was ``duty`` of the time."""
        await asyncio.sleep(worked_s * (1 / self.duty - 1))

    def _frames(self) -> Iterator[tuple[CameraId, int]]:
        """The frames that follow the pictures: of the same camera and weather, and not rendered yet."""
        for later in itertools.count(1):
            for picture in self.pictures:
                yield picture.frame.camera, picture.frame.index + later


def _cpu_s(work: Callable[[*Ts], None], *args: *Ts) -> float:
    """CPU seconds of this thread for a piece of work."""
    started = time.thread_time()
    work(*args)
    return time.thread_time() - started


def _code(images: Sequence[Image]) -> None:
    height, width = images[0].shape[:2]
    coded = SegmentEncoder(width, height, SEGMENT_FRAMES).encode(images, SEGMENT_BITS)
    decode(coded.data, len(images), width, height)


def _measure(truth: Sequence[Labels], found: Sequence[Detections], frames: int) -> None:
    times = -(-frames // len(truth))
    mean_average_precision([*truth] * times, [*found] * times)


def _middles(scenario: schema.Scenario, world: World, camera: str) -> list[float]:
    end = scenario.windows.duration_s
    starts = [change.t for change in world.condition_changes(CameraId(camera)) if change.t < end]
    return [(start + stop) / 2 for start, stop in itertools.pairwise([*starts, end])]


def _spread(items: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of them, evenly spread."""
    if len(items) <= most:
        return list(items)
    return [items[place * len(items) // most] for place in range(most)]
