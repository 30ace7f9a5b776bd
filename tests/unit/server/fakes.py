"""Small stand-ins for what the server is plugged into: a clock that jumps, a trainer that is a table."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from ecco_emu.core.events import AnyEvent
from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId, JobId, ModelHash, model_hash
from ecco_emu.tasks.detection import Labels, Sample
from ecco_emu.trainer.backend import DeviceInfo, Speed, TrainResult

E = TypeVar("E")


class JumpingClock:
    """Virtual time: sleeping takes none of the wall, and everybody wakes in order."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    async def sleep_until(self, t: float) -> float:
        await asyncio.sleep(0)
        late = max(0.0, self._now - t)
        self._now = max(self._now, t)
        return late

    def spend(self, seconds: float) -> None:
        self._now += seconds


@dataclass
class TableTrainer:
    """A job's accuracy on a camera is what ``accuracy`` says, and grows by ``gain`` per micro-window."""

    clock: JumpingClock
    accuracy: dict[tuple[str, str], float] = field(default_factory=dict)
    gain: dict[str, float] = field(default_factory=dict)
    takes_s: float = 1.0
    calls: list[tuple[str, object]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    models: dict[str, bytes] = field(default_factory=dict)
    trained: dict[str, int] = field(default_factory=dict)

    async def start(self) -> DeviceInfo:
        return DeviceInfo(device="cpu", gpus=1, virtual=True, precision="float32", threads=1)

    async def calibrate(self) -> Speed:
        return Speed(train_images_per_s=100.0, inference_images_per_s=100.0)

    async def close(self) -> None:
        pass

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        self.models[model] = weights

    async def has_model(self, model: ModelHash) -> bool:
        return model in self.models

    async def add_samples(self, samples: Sequence[Sample]) -> None:
        self.samples += samples

    async def create_job(self, job: JobId, start: ModelHash) -> None:
        self.calls.append(("create", job))

    async def drop_job(self, job: JobId) -> None:
        self.calls.append(("drop", job))

    async def train(self, job: JobId, cameras: Sequence[CameraId], images: int) -> TrainResult:
        self.calls.append(("train", job))
        self.clock.spend(self.takes_s)
        self.trained[job] = self.trained.get(job, 0) + 1
        for camera in cameras:
            key = (job, camera)
            self.accuracy[key] = self.accuracy.get(key, 0.1) + self.gain.get(job, 0.01)
        return TrainResult(steps=images // 8, images=images, losses=[2.0, 1.0], wall_s=self.takes_s)

    async def evaluate(
        self, subjects: Sequence[JobId | ModelHash], cameras: Sequence[CameraId]
    ) -> Mapping[tuple[str, CameraId], float]:
        return {
            (subject, camera): self.accuracy.get((subject, camera), 0.1)
            for subject in subjects
            for camera in cameras
        }

    async def export(self, job: JobId) -> tuple[ModelHash, bytes]:
        weights = f"{job} after {self.trained.get(job, 0)}".encode()
        return model_hash(weights), weights


class EmptyTeacher:
    async def label(self, camera: CameraId, index: int, image: Image) -> Labels:
        return Labels.empty()


@dataclass
class Record:
    """Collects events; ``of`` picks those of one kind."""

    events: list[AnyEvent] = field(default_factory=list)

    def __call__(self, event: AnyEvent) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]
