"""The event loop's side of two processes that hold torch: the edge server's GPUs, the cameras' inference.

Importing this module does not import torch; the child processes do when they start. Calls on one client are
carried out one after the other, in the order in which they were made. An error that the child process raises
is raised again here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecco_emu.control.evidence import Evidence
from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId, JobId, ModelHash
from ecco_emu.host import extras
from ecco_emu.host.processors import allowed_processors
from ecco_emu.host.warm import OpenWorker
from ecco_emu.host.workers import WorkerProcess, run_by_name, thread_limits
from ecco_emu.scenario.sections.trainer import TrainerSection
from ecco_emu.tasks.detection import Detections, Labels, Sample
from ecco_emu.trainer.backend import (
    LIVE_MIN_SCORE,
    DeviceInfo,
    Evaluation,
    LabelledImage,
    Settings,
    Speed,
    TrainResult,
)

TRAINING_NICENESS = 0
INFERENCE_NICENESS = -5
"""Below training's, because cameras must look at a frame before the next is due."""


class TrainingClient:
    """The edge server's GPUs: one warm process that trains, measures and exports YOLO students.

    Implements ``TrainerBackend``, where the calls are described; here stands only the behaviour of this
    backend. ``evidence_s`` is the age in emulated seconds up to which a frame is evidence: a camera that
    sends few frames in that time has more of them held out. ``threads`` are torch's, by default one fewer
    than the processors that this process may use. ``open_worker`` may bring a process that an earlier
    client has used.
    """

    def __init__(
        self,
        config: TrainerSection,
        *,
        seed: int,
        evidence_s: float = 20.0,
        threads: int | None = None,
        open_worker: OpenWorker = WorkerProcess,
    ) -> None:
        self._settings = Settings(
            gpus=config.gpus,
            batch=config.batch,
            learning_rate=config.learning_rate,
            held_out=config.held_out,
            held_out_span_s=evidence_s,
            seed=seed,
            # One processor is left to cameras and network: a training step waits for its slowest thread, and
            # with a thread on every processor, one of them busy otherwise, training ran at half the speed.
            threads=threads or max(1, allowed_processors() - 1),
        )
        self._worker = _TorchWorker(
            "training_worker", "training", TRAINING_NICENESS, self._settings.threads, open_worker
        )

    async def start(self) -> DeviceInfo:
        """Starts the process, which imports torch and warms up: some seconds."""
        info: DeviceInfo = await self._worker.start(self._settings)
        return info

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        await self._worker.call("add_model", model, weights)

    async def remove_model(self, model: ModelHash) -> None:
        await self._worker.call("remove_model", model)

    async def add_samples(self, samples: Sequence[Sample]) -> None:
        """Keeps labelled frames: the newest 400 of a camera, and 1 GiB of pixels of all cameras."""
        await self._worker.call("add_samples", list(samples))

    async def forget_samples(self, camera: CameraId, before: float = math.inf) -> None:
        await self._worker.call("forget_samples", camera, before)

    async def create_job(self, job: JobId, start: ModelHash) -> None:
        await self._worker.call("create_job", job, start)

    async def drop_job(self, job: JobId) -> None:
        await self._worker.call("drop_job", job)

    async def train(self, job: JobId, evidence: Sequence[Evidence], images: float) -> TrainResult:
        """One micro-window, in steps of ``batch * gpus`` pictures of one size (``budget.steps_within``).

        A step has an equal number of pictures of each camera, as far as possible, and newer samples are
        drawn more often than older ones (``SampleStore.draw``).
        """
        result: TrainResult = await self._worker.call("train", job, list(evidence), images)
        return result

    async def evaluate(
        self, subjects: Sequence[JobId | ModelHash], evidence: Sequence[Evidence], frames: int
    ) -> Evaluation:
        """mAP on each camera's newest ``frames`` held-out frames that count.

        While fewer than half as many are held out, the camera's newest samples of any kind that count stand
        in.
        """
        measured: Evaluation = await self._worker.call("evaluate", list(subjects), list(evidence), frames)
        return measured

    async def export(self, job: JobId) -> tuple[ModelHash, bytes]:
        exported: tuple[ModelHash, bytes] = await self._worker.call("export", job)
        return exported

    async def calibrate(self, model: ModelHash, pictures: Sequence[LabelledImage]) -> Speed:
        """Measures for two to four seconds, with all threads."""
        speed: Speed = await self._worker.call("calibrate", model, list(pictures))
        return speed

    async def load_teacher(self, path: Path) -> None:
        """Loads a YOLO weight file to label with. Raises ``ScenarioError`` if it is not a weight file.

        Not part of ``TrainerBackend``: the teacher borrows this process because it holds torch and the GPU.
        """
        await self._worker.call("load_teacher", path)

    async def label(self, images: Sequence[Image]) -> list[Labels]:
        """The teacher's labels of pictures that all have one size, boxes in their pixels.

        Raises ``UnknownModelError`` if no teacher is loaded.
        """
        labels: list[Labels] = await self._worker.call("label", list(images))
        return labels

    async def close(self) -> None:
        """Gives up the process at once, a call in progress included. May be called more than once."""
        self._worker.close()


class InferenceClient:
    """The cameras' inference: one warm process with one thread that stands for the chips of all cameras.

    Implements the cameras' ``CameraInference`` port. It has nothing to do with the edge server, whose own
    inference (to measure jobs, to label) is ``TrainingClient``'s.
    """

    def __init__(self, *, threads: int = 1, open_worker: OpenWorker = WorkerProcess) -> None:
        self._threads = threads
        self._worker = _TorchWorker(
            "inference_worker", "the cameras' inference", INFERENCE_NICENESS, threads, open_worker
        )

    async def start(self) -> None:
        """Starts the process, which imports torch: some seconds."""
        await self._worker.start(self._threads)

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        """One user more of a student, which is kept until ``remove_model`` was called as often.

        Raises ``BadStudentError`` if the bytes are no student, or have another hash, and ``HostError`` when
        the students in use do not fit the host's memory.
        """
        await self._worker.call("add_model", model, weights)

    async def remove_model(self, model: ModelHash) -> None:
        """One user less of a student. Nothing happens if it has none."""
        await self._worker.call("remove_model", model)

    async def detect(
        self,
        model: ModelHash,
        images: Sequence[Image],
        *,
        size: tuple[int, int] | None = None,
        min_score: float = LIVE_MIN_SCORE,
    ) -> list[Detections]:
        """The student's detections in each picture, best first, at most 100 a picture, boxes in its pixels.

        The student looks at the pictures in ``size`` (width, height in pixels, multiples of 32), by default
        in its own. Detections surer than ``min_score`` are reported; to measure accuracy, give ``MIN_SCORE``.
        Raises ``UnknownModelError`` for a student without users.
        """
        found: list[Detections] = await self._worker.call("detect", model, list(images), size, min_score)
        return found

    async def close(self) -> None:
        """Gives up the process at once. May be called more than once."""
        self._worker.close()


class _TorchWorker:
    """A child process with one module of ``trainer.yolo``, whose functions ``start`` and ``call`` it runs.

    The module is named here instead of imported, because importing it would import torch into the event
    loop's process.
    """

    def __init__(self, module: str, what: str, niceness: int, threads: int, open_worker: OpenWorker) -> None:
        """Raises ``HostError`` where torch is not installed: in the child it would be a traceback."""
        extras.YOLO.require()
        # Waiting threads sleep instead of spinning: a spinning thread takes the CPU from the very thread
        # it waits for, and beside a busy core training fell to a fifth of its speed.
        environment = thread_limits(threads) | {"OMP_WAIT_POLICY": "PASSIVE"}
        self._module = f"ecco_emu.trainer.yolo.{module}"
        self._worker = open_worker(what, niceness=niceness, environment=environment)

    async def start(self, *args: object) -> Any:
        return await self._worker.call(run_by_name, self._module, "start", args)

    async def call(self, method: str, *args: object) -> Any:
        return await self._worker.call(run_by_name, self._module, "call", (method, *args))

    def close(self) -> None:
        self._worker.close()
