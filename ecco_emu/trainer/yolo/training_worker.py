"""The training process: the calls of ``TrainingClient`` run here. State lives in this module's globals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId, JobId, ModelHash, model_hash
from ecco_emu.core.random_streams import stream
from ecco_emu.tasks.detection import Labels, Sample, load_metric, mean_average_precision
from ecco_emu.trainer.backend import (
    DeviceInfo,
    LabelledImage,
    NoSamplesError,
    Settings,
    Speed,
    TrainResult,
    UnknownModelError,
)
from ecco_emu.trainer.samples import SampleStore
from ecco_emu.trainer.yolo import student
from ecco_emu.trainer.yolo.detect import detect
from ecco_emu.trainer.yolo.library import Library
from ecco_emu.trainer.yolo.ranks import Team, device_of
from ecco_emu.trainer.yolo.session import TrainingSession, steps_in
from ecco_emu.trainer.yolo.speed import measure_speed
from ecco_emu.trainer.yolo.steps import default_precision
from ecco_emu.trainer.yolo.teacher_model import TeacherModel


class TrainingServer:
    """Students, samples and retraining jobs on the machine's GPUs, or on its CPU where there are none.

    ``trainer.backend.TrainerBackend`` describes the calls.
    """

    def __init__(self, settings: Settings) -> None:
        torch.set_num_threads(settings.threads)
        real = torch.cuda.device_count() if torch.cuda.is_available() else 0
        ranks = settings.virtual_ranks or max(1, min(real, settings.gpus))
        self._settings = settings
        self._team = Team(ranks, settings)
        self._device = device_of(0)
        self._library = Library(self._device)
        self._samples = SampleStore()
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

    def has_model(self, model: ModelHash) -> bool:
        return model in self._library

    def add_samples(self, samples: Sequence[Sample]) -> None:
        self._samples.add(samples)

    def create_job(self, job: JobId, start: ModelHash) -> None:
        self._sessions[job] = self._team.session(job, self._library.fresh(start))

    def drop_job(self, job: JobId) -> None:
        if self._sessions.pop(job, None) is not None:
            self._team.drop(job)

    def train(self, job: JobId, cameras: Sequence[CameraId], images: int) -> TrainResult:
        session = self._session(job)
        batches: list[list[LabelledImage]] = []
        for _ in range(steps_in(images, self.batch)):
            drawn = self._samples.draw(cameras, self.batch, self._random)
            batches.append([(sample.image, sample.labels) for sample in drawn])
        if not batches[0]:
            raise NoSamplesError(
                f"job {job}: no sample to train on yet from {', '.join(cameras) or 'no camera'}"
            )
        return self._team.train(job, session, batches)

    def evaluate(
        self, subjects: Sequence[JobId | ModelHash], cameras: Sequence[CameraId]
    ) -> dict[tuple[str, CameraId], float]:
        wanted = self._settings.eval_frames
        by_camera = {camera: self._samples.evaluation(camera, wanted) for camera in cameras}
        samples = [sample for camera in by_camera for sample in by_camera[camera]]
        accuracy: dict[tuple[str, CameraId], float] = {}
        for subject in subjects:
            # all cameras' frames in one call: full batches take less time than one batch a camera
            runner = self._runner(subject)
            found = detect(runner.model, [sample.image for sample in samples], runner.size)
            start = 0
            for camera, own in by_camera.items():
                if own:
                    truth = [sample.labels for sample in own]
                    seen = found[start : start + len(own)]
                    accuracy[subject, camera] = mean_average_precision(truth, seen).map
                start += len(own)
        return accuracy

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
            lambda drawn: self._team.train(name, session, [drawn]),
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

    def _runner(self, subject: JobId | ModelHash) -> student.Student:
        """A job's student as it is now, or a student by its hash. Raises ``UnknownModelError``."""
        session = self._sessions.get(JobId(subject))
        if session is not None:
            return student.Student(session.model, session.size)
        return self._library.ready(ModelHash(subject))


_server: TrainingServer | None = None


def start(settings: Settings) -> DeviceInfo:
    """Makes this process the training process."""
    global _server
    _server = TrainingServer(settings)
    load_metric()
    return _server.info


def call(method: str, *args: Any) -> Any:
    """Calls a method of this process's ``TrainingServer``."""
    if _server is None:
        raise RuntimeError("the training process was not started")
    return getattr(_server, method)(*args)
