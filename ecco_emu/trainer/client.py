"""The event loop's side of the two processes that hold torch: the GPUs' and the cameras'.

Importing this does not import torch; the children do when they start. Calls on one client are carried
out one after the other, in order of calling, and raise what the child raised.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId, JobId, ModelHash
from ecco_emu.host.workers import Worker
from ecco_emu.scenario.sections.trainer import TrainerSection
from ecco_emu.tasks.detection import Detections, Labels, Sample
from ecco_emu.trainer.backend import DeviceInfo, Settings, Speed, TrainResult

TRAINING_NICENESS = 0
INFERENCE_NICENESS = -5
"""Cameras look at frames in time; training fills what is left."""
MIN_SCORE = 0.001
"""Detections a student is less sure of are not reported; down to this they still count for mAP."""


class TrainingClient:
    """The edge server's GPUs: one warm process that trains, measures and exports students.

    ``threads`` are torch's; by default one fewer than the host has processors. The one left belongs
    to cameras and network: a training step waits for its slowest thread, and with a thread on every
    processor training beside a busy one was measured at half the speed of leaving it alone.
    """

    def __init__(self, config: TrainerSection, *, seed: int, threads: int | None = None) -> None:
        self._settings = Settings(
            gpus=config.gpus,
            batch=config.batch,
            learning_rate=config.learning_rate,
            eval_frames=config.eval_frames,
            seed=seed,
            threads=threads or max(1, (os.cpu_count() or 1) - 1),
        )
        self._worker = _TorchWorker("training_worker", "training", TRAINING_NICENESS, self._settings.threads)

    async def start(self) -> DeviceInfo:
        """Starts the process: imports torch, warms up. Some seconds."""
        info: DeviceInfo = await self._worker.start(self._settings)
        return info

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        """Keeps a student's file. Raises ``BadStudentError`` if it is none, or has another hash."""
        await self._worker.call("add_model", model, weights)

    async def has_model(self, model: ModelHash) -> bool:
        return bool(await self._worker.call("has_model", model))

    async def add_samples(self, samples: Sequence[Sample]) -> None:
        """Keeps labelled frames: the newest 400 of a camera, every fourth only for evaluation."""
        await self._worker.call("add_samples", list(samples))

    async def create_job(self, job: JobId, start: ModelHash) -> None:
        """A retraining job that starts from a student. Raises ``UnknownModelError``."""
        await self._worker.call("create_job", job, start)

    async def drop_job(self, job: JobId) -> None:
        """Forgets a job; it may be unknown."""
        await self._worker.call("drop_job", job)

    async def train(self, job: JobId, cameras: Sequence[CameraId], images: int) -> TrainResult:
        """One micro-window: all GPUs train ``job`` on ``images`` of the cameras' samples.

        Steps have ``batch * gpus`` images, as many of each camera as possible, newer ones more often.
        Raises ``NoSamplesError`` if the cameras have none to train on, ``UnknownModelError``.
        """
        result: TrainResult = await self._worker.call("train", job, list(cameras), images)
        return result

    async def evaluate(
        self,
        subjects: Sequence[JobId | ModelHash],
        cameras: Sequence[CameraId],
        frames: int | None = None,
    ) -> dict[tuple[str, CameraId], float]:
        """mAP of every job or student on every camera's newest held-out frames.

        ``frames`` of each, by default ``Trainer.eval_frames``. While a camera has held out fewer than
        half as many, its newest samples of any kind stand in. Cameras without samples are left out.
        """
        accuracy: dict[tuple[str, CameraId], float] = await self._worker.call(
            "evaluate", list(subjects), list(cameras), frames
        )
        return accuracy

    async def export(self, job: JobId) -> tuple[ModelHash, bytes]:
        """The hash and file of the job's student as it is now. Raises ``BadStudentError`` if it diverged."""
        exported: tuple[ModelHash, bytes] = await self._worker.call("export", job)
        return exported

    async def calibrate(self) -> Speed:
        """Measures this machine for some seconds: training and inference, all threads."""
        speed: Speed = await self._worker.call("calibrate")
        return speed

    async def load_teacher(self, path: Path) -> None:
        """Loads a YOLO weight file to label with. Raises ``ScenarioError`` if it is none."""
        await self._worker.call("load_teacher", path)

    async def label(self, images: Sequence[Image]) -> list[Labels]:
        """The loaded teacher's labels of pictures of one size."""
        labels: list[Labels] = await self._worker.call("label", list(images))
        return labels

    async def close(self) -> None:
        """Ends the process at once, a call in progress included. May be called more than once."""
        self._worker.close()


class InferenceClient:
    """The cameras' own inference: one warm process, one thread, for all cameras."""

    def __init__(self, *, threads: int = 1) -> None:
        self._threads = threads
        self._worker = _TorchWorker("inference_worker", "the cameras' inference", INFERENCE_NICENESS, threads)

    async def start(self) -> None:
        """Starts the process: imports torch, warms up. Some seconds."""
        await self._worker.start(self._threads)

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        """Keeps a student's file. Raises ``BadStudentError`` if it is none, or has another hash."""
        await self._worker.call("add_model", model, weights)

    async def has_model(self, model: ModelHash) -> bool:
        return bool(await self._worker.call("has_model", model))

    async def detect(
        self, model: ModelHash, images: Sequence[Image], *, min_score: float = MIN_SCORE
    ) -> list[Detections]:
        """What the student sees, best first, at most 100 per picture, boxes in its own pixels.

        Raises ``UnknownModelError`` for a student never added, or added 64 students ago.
        """
        found: list[Detections] = await self._worker.call("detect", model, list(images), min_score)
        return found

    async def calibrate(self) -> float:
        """Measured images per second, one at a time."""
        rate: float = await self._worker.call("calibrate")
        return rate

    async def close(self) -> None:
        """Ends the process at once. May be called more than once."""
        self._worker.close()


class _TorchWorker:
    """A child process with one module of this package, which answers to ``start`` and ``call``.

    The module is named, not imported: importing it here would import torch.
    """

    def __init__(self, module: str, what: str, niceness: int, threads: int) -> None:
        environment = {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            # threads that wait give way: with spinning ones, training beside a busy core fell to a fifth
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        self._module = f"ecco_emu.trainer.yolo.{module}"
        self._worker = Worker(what, niceness=niceness, environment=environment)

    async def start(self, *args: object) -> Any:
        return await self._worker.call(_in_child, self._module, "start", args)

    async def call(self, method: str, *args: object) -> Any:
        return await self._worker.call(_in_child, self._module, "call", (method, *args))

    def close(self) -> None:
        self._worker.close()


def _in_child(module: str, function: str, args: tuple[object, ...]) -> Any:
    return getattr(importlib.import_module(module), function)(*args)
