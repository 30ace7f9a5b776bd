"""The training process: the calls of ``TrainingClient`` run here. State lives in this module's globals."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecco_emu.control.evidence import Estimate, Evidence
from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId, JobId, ModelHash, model_hash
from ecco_emu.core.random_streams import stream
from ecco_emu.tasks.detection import Detections, Labels, Sample, load_metric
from ecco_emu.trainer.backend import (
    DeviceInfo,
    Evaluation,
    LabelledImage,
    NoSamplesError,
    Settings,
    Speed,
    TrainResult,
    UnknownModelError,
)
from ecco_emu.trainer.budget import DrawnStep, steps_within
from ecco_emu.trainer.measuring import Measurements, Subject
from ecco_emu.trainer.samples import SampleStore
from ecco_emu.trainer.yolo import student
from ecco_emu.trainer.yolo.detect import detect
from ecco_emu.trainer.yolo.library import Library
from ecco_emu.trainer.yolo.ranks import Team, device_of
from ecco_emu.trainer.yolo.session import GpuBatches, TrainingSession
from ecco_emu.trainer.yolo.steps import default_precision
from ecco_emu.trainer.yolo.teacher_model import TeacherModel

_CALIBRATION_S = 1.0
"""Each measurement of speed takes at least this many seconds of the wall."""
_CALIBRATION_IMAGES = 48
"""Images of the micro-windows that are timed. Each ends with a pass that renews batch norm's statistics, so a
shorter one would find training slower than it is."""


class TrainingServer:
    """Students, samples and retraining jobs on the machine's GPUs, or on its CPU where there are none.

    ``trainer.backend.TrainerBackend`` describes the calls.
    """

    def __init__(self, settings: Settings) -> None:
        real = torch.cuda.device_count() if torch.cuda.is_available() else 0
        ranks = min(settings.virtual_ranks or max(1, real), settings.gpus)
        torch.set_num_threads(max(1, settings.threads // ranks))
        self._settings = settings
        self._team = Team(ranks, settings)
        self._device = device_of(0)
        self._library = Library(self._device)
        self._samples = SampleStore(
            held_out=settings.held_out,
            held_out_frames=settings.held_out_frames,
            held_out_span_s=settings.held_out_span_s,
        )
        self._measurements = Measurements(self._detect)
        self._sessions: dict[JobId, TrainingSession] = {}
        self._random = stream(settings.seed, "trainer", "draw")
        self._teacher: TeacherModel | None = None
        numbers = ",".join(str(rank) for rank in range(ranks))
        self.info = DeviceInfo(
            device=f"cuda:{numbers}" if real else "cpu",
            gpus=settings.gpus,
            virtual=real < settings.gpus,
            precision=str(default_precision(self._device)).removeprefix("torch."),
            threads=torch.get_num_threads(),
        )

    @property
    def batch(self) -> int:
        """Images in one step on all GPUs, real or virtual."""
        return self._settings.batch * self._settings.gpus

    def add_model(self, model: ModelHash, weights: bytes) -> None:
        self._library.add(model, weights)

    def remove_model(self, model: ModelHash) -> None:
        self._library.remove(model)
        if model not in self._library:
            self._measurements.forget(subject=model)

    def add_samples(self, samples: Sequence[Sample]) -> None:
        self._samples.add(samples)

    def forget_samples(self, camera: CameraId, before: float = math.inf) -> None:
        self._samples.forget(camera, before)
        self._measurements.forget(camera=camera)

    def create_job(self, job: JobId, start: ModelHash) -> None:
        self.drop_job(job)
        self._sessions[job] = self._team.session(job, self._library.fresh(start))

    def drop_job(self, job: JobId) -> None:
        self._measurements.forget(subject=job)
        if self._sessions.pop(job, None) is not None:
            self._team.drop(job)

    def train(self, job: JobId, evidence: Sequence[Evidence], images: float) -> TrainResult:
        session = self._session(job)
        drawn = list(steps_within(self._samples, evidence, self.batch, images, self._random))
        if not drawn:
            cameras = ", ".join(each.camera for each in evidence) or "no camera"
            raise NoSamplesError(f"job {job}: no sample to train on yet from {cameras}")
        self._measurements.forget(subject=job)
        losses, wall_s = self._team.train(job, session, [self._split(step) for step in drawn])
        return TrainResult(
            steps=len(drawn),
            images=sum(len(step.samples) for step in drawn),
            reference_images=math.fsum(step.cost for step in drawn),
            losses=losses,
            wall_s=wall_s,
        )

    def evaluate(self, subjects: Sequence[Subject], evidence: Sequence[Evidence], frames: int) -> Evaluation:
        started = time.perf_counter()
        for subject in subjects:
            self._check(subject)
        samples = {
            each.camera: self._samples.evaluation(each.camera, frames, each.since) for each in evidence
        }
        accuracy: dict[tuple[str, CameraId], Estimate] = {}
        images = 0
        for subject in subjects:
            measured, run = self._measurements.measure(subject, samples)
            accuracy |= {(subject, camera): each for camera, each in measured.items()}
            images += run
        return Evaluation(accuracy, images, time.perf_counter() - started)

    def export(self, job: JobId) -> tuple[ModelHash, bytes]:
        session = self._session(job)
        weights = student.to_bytes(session.model, session.size)
        return model_hash(weights), weights

    def calibrate(self) -> Speed:
        """Measures with the newest student, or with an untrained one, on noise with made-up labels.

        Draws from a random stream of its own, so that jobs end up the same with and without a calibration.
        """
        known = self._library.newest()
        model = (
            self._library.fresh(known) if known else student.Student(student.build(), student.DEFAULT_SIZE)
        )
        random = np.random.default_rng(0)
        pictures = [_made_up(model, random) for _ in range(self.batch)]
        images = [image for image, _ in pictures]
        infer = _rate(lambda: len(detect(model.model, images, model.size)))
        name = JobId("calibration")
        session = self._team.session(name, model)
        steps = [GpuBatches(model.size, self._parts(pictures))] * max(1, _CALIBRATION_IMAGES // self.batch)
        train = _rate(lambda: len(self._team.train(name, session, steps)[0]) * self.batch)
        self._team.drop(name)
        return Speed(train_images_per_s=train, inference_images_per_s=infer)

    def load_teacher(self, path: Path) -> None:
        self._teacher = TeacherModel(path, self._device)

    def label(self, images: Sequence[Image]) -> list[Labels]:
        if self._teacher is None:
            raise UnknownModelError("no teacher is loaded")
        return self._teacher.label(images)

    def close(self) -> None:
        """Ends the other ranks, if there are any."""
        self._team.close()

    def _session(self, job: JobId) -> TrainingSession:
        try:
            return self._sessions[job]
        except KeyError:
            raise UnknownModelError(f"there is no retraining job {job}") from None

    def _split(self, step: DrawnStep) -> GpuBatches:
        pictures = [(sample.image, sample.labels) for sample in step.samples]
        return GpuBatches(step.size, self._parts(pictures))

    def _parts(self, pictures: Sequence[LabelledImage]) -> list[Sequence[LabelledImage]]:
        """Each GPU's pictures. Dealt out in turn, because those of one camera come one after the other."""
        return [pictures[gpu :: self._settings.gpus] for gpu in range(self._settings.gpus)]

    def _check(self, subject: Subject) -> None:
        if subject not in self._sessions and ModelHash(subject) not in self._library:
            raise UnknownModelError(f"there is neither a retraining job nor a student {subject}")

    def _detect(self, subject: Subject, images: Sequence[Image]) -> list[Detections]:
        session = self._sessions.get(JobId(subject))
        if session is not None:
            return detect(session.model, images, session.size)
        ready = self._library.ready(ModelHash(subject))
        return detect(ready.model, images, ready.size)


def _made_up(model: student.Student, random: np.random.Generator) -> LabelledImage:
    """Noise with eight objects: the time a step takes depends on how many, not on what they look like."""
    width, height = model.size
    image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    corners = random.uniform(0.0, 0.7, (8, 2)) * model.size
    boxes = np.hstack([corners, corners + 0.2 * np.array(model.size)]).astype(np.float32)
    return image, Labels(boxes, random.integers(0, len(model.model.names), 8))


def _rate(work: Callable[[], int]) -> float:
    """Images per second of ``work``, which returns the number of images it did; its first call warms up."""
    work()
    done, started = 0, time.perf_counter()
    while True:
        done += work()
        elapsed = time.perf_counter() - started
        if elapsed >= _CALIBRATION_S:
            return done / elapsed


_server: TrainingServer | None = None


def start(settings: Settings) -> DeviceInfo:
    """Makes this process the training process and runs it once, because torch's first run is slow."""
    global _server
    _server = TrainingServer(settings)
    load_metric()
    size = student.DEFAULT_SIZE
    detect(student.build(), [np.zeros((size[1], size[0], 3), np.uint8)], size)
    return _server.info


def call(method: str, *args: Any) -> Any:
    """Calls a method of this process's ``TrainingServer``."""
    if _server is None:
        raise RuntimeError("the training process was not started")
    return getattr(_server, method)(*args)
