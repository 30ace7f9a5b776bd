"""Small stand-ins for what the server is plugged into: a clock that jumps, a trainer that is a table."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from ecco_emu.control.evidence import Estimate, Evidence
from ecco_emu.core.events import AnyEvent
from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId, JobId, ModelHash, model_hash
from ecco_emu.tasks.detection import Labels, Sample
from ecco_emu.trainer.backend import BadStudentError, DeviceInfo, Evaluation, Speed, TrainResult

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
    """A job's accuracy on a camera is what ``accuracy`` says, and grows by ``gain`` per micro-window.

    ``gain`` is by job, or by job and camera. Accuracies are exact (no spread between their replicates).
    """

    clock: JumpingClock
    accuracy: dict[tuple[str, str], float] = field(default_factory=dict)
    gain: dict[str | tuple[str, str], float] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)
    """Cameras whose frames hold no object."""
    takes_s: float = 1.0
    evaluating_s: float = 0.0
    """A frame's part of an evaluation."""
    calls: list[tuple[str, object]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    models: Counter[str] = field(default_factory=Counter)
    trained: dict[str, int] = field(default_factory=dict)
    evaluated: list[list[Evidence]] = field(default_factory=list)
    diverged: set[str] = field(default_factory=set)
    refuses: str = ""
    """Why every student is refused, if it is not empty."""
    spread: dict[str, float] = field(default_factory=dict)
    """By camera, how far apart the replicates of its accuracies are."""
    quality: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)

    async def start(self) -> DeviceInfo:
        return DeviceInfo(device="cpu", gpus=1, virtual=True, precision="float32", threads=1)

    async def calibrate(self) -> Speed:
        return Speed(train_images_per_s=100.0, inference_images_per_s=100.0)

    async def close(self) -> None:
        pass

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        if self.refuses:
            raise BadStudentError(self.refuses)
        self.models[model] += 1

    async def remove_model(self, model: ModelHash) -> None:
        self.models[model] -= 1
        assert self.models[model] >= 0

    async def add_samples(self, samples: Sequence[Sample]) -> None:
        self.samples += samples

    async def forget_samples(self, camera: CameraId, before: float = math.inf) -> None:
        self.calls.append(("forget", camera))

    async def create_job(self, job: JobId, start: ModelHash) -> None:
        assert self.models[start] > 0
        self.calls.append(("create", job))
        self.diverged.discard(job)

    async def drop_job(self, job: JobId) -> None:
        self.calls.append(("drop", job))

    async def train(self, job: JobId, evidence: Sequence[Evidence], images: float) -> TrainResult:
        self.calls.append(("train", job))
        self.clock.spend(self.takes_s)
        self.trained[job] = self.trained.get(job, 0) + 1
        for each in evidence:
            key = (job, each.camera)
            gain = self.gain.get(key, self.gain.get(job, 0.01))
            self.accuracy[key] = self.accuracy.get(key, 0.1) + gain
        return TrainResult(
            steps=int(images) // 8,
            images=int(images),
            reference_images=images,
            losses=[2.0, 1.0],
            wall_s=self.takes_s,
        )

    async def evaluate(
        self, subjects: Sequence[JobId | ModelHash], evidence: Sequence[Evidence], frames: int
    ) -> Evaluation:
        self.evaluated.append(list(evidence))
        accuracy = {
            (str(subject), each.camera): self._estimate(str(subject), each.camera, frames)
            for subject in subjects
            for each in evidence
            if each.camera not in self.empty
        }
        images = len(subjects) * len(evidence) * frames
        self.clock.spend(images * self.evaluating_s)
        return Evaluation(accuracy, images, wall_s=images * self.evaluating_s)

    def _estimate(self, subject: str, camera: CameraId, frames: int) -> Estimate:
        value = self.accuracy.get((subject, camera), 0.1)
        spread = self.spread.get(camera, 0.0)
        replicates = tuple(value + spread * offset for offset in (-0.5, -0.2, 0.2, 0.5))
        return Estimate(value, frames, replicates, self.quality.get(camera, ()))

    async def export(self, job: JobId) -> tuple[ModelHash, bytes]:
        if job in self.diverged:
            raise BadStudentError("not finite")
        weights = f"{job} after {self.trained.get(job, 0)}".encode()
        return model_hash(weights), weights


class EmptyTeacher:
    async def label(self, camera: CameraId, frames: Sequence[Frame]) -> list[Labels]:
        return [Labels.empty()] * len(frames)


@dataclass
class Record:
    """Collects events; ``of`` picks those of one kind."""

    events: list[AnyEvent] = field(default_factory=list)

    def __call__(self, event: AnyEvent) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]
