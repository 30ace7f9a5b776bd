"""The training process: the calls of ``TrainingClient`` run here. State lives in this module's globals."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
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
        steps = steps_in(_CALIBRATION_IMAGES, self.batch)
        train = _rate(lambda: self._team.train(name, session, [pictures] * steps).images)
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

    def _runner(self, subject: JobId | ModelHash) -> student.Student:
        """A job's student as it is now, or a student by its hash. Raises ``UnknownModelError``."""
        session = self._sessions.get(JobId(subject))
        if session is not None:
            return student.Student(session.model, session.size)
        return self._library.ready(ModelHash(subject))


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
