"""The training process: the calls of ``TrainingClient`` run here. State lives in this module's globals."""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ecco_emu.control.evidence import Evidence
from ecco_emu.core.errors import HostError
from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId, JobId, ModelHash, model_hash
from ecco_emu.core.random_streams import stream
from ecco_emu.tasks.detection import Detections, Labels, Sample
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
from ecco_emu.trainer.yolo.devices import default_precision, device_of, real_gpus
from ecco_emu.trainer.yolo.library import Library
from ecco_emu.trainer.yolo.ranks import Team
from ecco_emu.trainer.yolo.session import GpuBatches, TrainingSession
from ecco_emu.trainer.yolo.speed import measure_speed
from ecco_emu.trainer.yolo.teacher_model import TeacherModel


class TrainingServer:
    """Students, samples and retraining jobs on the machine's GPUs, or on its CPU where there are none.

    ``trainer.backend.TrainerBackend`` describes the calls.
    """

    def __init__(self, settings: Settings) -> None:
        real = real_gpus()
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
        numbers = ",".join(str(gpu) for gpu in range(min(ranks, real)))
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
        began = self._library.fresh(start)
        self.drop_job(job)
        self._sessions[job] = self._team.session(job, began)

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
        accuracy, images = self._measurements.measure_all(subjects, samples)
        return Evaluation(accuracy, images, time.perf_counter() - started)

    def export(self, job: JobId) -> tuple[ModelHash, bytes]:
        session = self._session(job)
        weights = student.to_bytes(session.model, session.size)
        return model_hash(weights), weights

    def calibrate(self, model: ModelHash, pictures: Sequence[LabelledImage]) -> Speed:
        """Trains a job of its own, with its own chance, so that jobs end up the same with and without it."""
        name = JobId("calibration")
        trained = self._library.fresh(model)
        session = self._team.session(name, trained)
        speed = measure_speed(
            self._library.ready(model),
            trained,
            pictures,
            lambda drawn: self._team.train(name, session, [GpuBatches(trained.size, self._parts(drawn))]),
            batch=self._settings.batch,
            gpus=self._settings.gpus,
        )
        self._team.drop(name)
        return speed

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


_server: TrainingServer | None = None


def start(settings: Settings) -> DeviceInfo:
    """Makes this process the training process, anew where it was one already."""
    global _server
    if _server is not None:
        _server.close()
        _server = None  # its memory is free before the next one takes some
    _server = TrainingServer(settings)
    # torch imports its compiler with the first optimizer, for two seconds, though nothing here is compiled.
    # So it is imported now, beside the start of the other processes, and not in the first micro-window.
    importlib.import_module("torch._dynamo")
    return _server.info


def call(method: str, *args: Any) -> Any:
    """Calls a method of this process's ``TrainingServer``; ``HostError`` where the GPU's memory ends."""
    if _server is None:
        raise RuntimeError("the training process was not started")
    try:
        return getattr(_server, method)(*args)
    except torch.OutOfMemoryError as error:
        raise HostError(
            "the GPU's memory does not suffice for this scenario: end other programs that use it, or lower "
            f"trainer.batch ({error})"
        ) from error
