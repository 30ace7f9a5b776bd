"""The edge server's GPUs as a model: samples, jobs and budgets as the real ones', training by formula.

Samples are sketches. They are kept, held out, drawn and paid for by the code that serves the real trainer, so
that a micro-window of the model trains on the pictures that a real one would.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ecco_emu.control.evidence import Evidence
from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId, JobId, ModelHash, model_hash
from ecco_emu.core.random_streams import stream
from ecco_emu.scenario.sections.trainer import TrainerSection
from ecco_emu.tasks.detection import Detections, Sample
from ecco_emu.trainer.backend import (
    MIN_SCORE,
    DeviceInfo,
    Evaluation,
    LabelledImage,
    NoSamplesError,
    Speed,
    TrainResult,
    UnknownModelError,
)
from ecco_emu.trainer.budget import DrawnStep, steps_within
from ecco_emu.trainer.curve.fit import CurveFit
from ecco_emu.trainer.curve.model import CurveStudent, Taught, step_worth, taught
from ecco_emu.trainer.curve.seeing import Seer
from ecco_emu.trainer.curve.student import Students, to_bytes
from ecco_emu.trainer.measuring import Measurements, Subject
from ecco_emu.trainer.samples import SampleStore
from ecco_emu.world.sketch.picture import View

_NO_LIMIT = 1e6
"""Images a second, where nothing is computed."""
_REMEMBERED = 4096
"""Frames that a job knows it was trained on."""
_LOSS_BLIND, _LOSS_PERFECT = 16.0, 1.5
"""A step's loss is told as if it fell in a straight line with skill. Nothing decides on it."""


FrameName = tuple[CameraId, int]
"""A frame's camera and index."""


@dataclass(slots=True)
class _Job:
    student: CurveStudent
    trainings: int = 0
    draws: dict[FrameName, int] = field(default_factory=dict)
    """How often frames were trained on, the newest ones at the end."""

    def remember(self, draws: Mapping[FrameName, int]) -> None:
        for name, count in draws.items():
            self.draws[name] = self.draws.pop(name, 0) + count
        while len(self.draws) > _REMEMBERED:
            del self.draws[next(iter(self.draws))]


class CurveBackend:
    """Implements ``TrainerBackend``; all calls return at once, and no time is ever measured.

    ``evidence_s`` is the age in emulated seconds up to which a frame is evidence. ``view`` gives the
    content of a sketch.
    """

    def __init__(
        self,
        section: TrainerSection,
        *,
        seed: int,
        evidence_s: float = 20.0,
        view: Callable[[Image], View],
        fit: CurveFit,
    ) -> None:
        self._section = section
        self._fit = fit
        self._seed = seed
        self._view = view
        self._seer = Seer(fit, seed, view)
        self._students = Students()
        self._samples = SampleStore(held_out=section.held_out, held_out_span_s=evidence_s)
        self._measurements = Measurements(self._detect)
        self._jobs: dict[JobId, _Job] = {}
        self._random = stream(seed, "trainer", "draw")

    async def start(self) -> DeviceInfo:
        """Nothing has to be started."""
        return DeviceInfo("curve", gpus=self._section.gpus, virtual=True, precision="none", threads=0)

    async def calibrate(self, model: ModelHash, pictures: Sequence[LabelledImage]) -> Speed:
        """Not measured: nothing is computed, so that no clock has to wait for it."""
        self._students[model]
        return Speed(train_images_per_s=_NO_LIMIT, inference_images_per_s=_NO_LIMIT)

    async def close(self) -> None:
        """Nothing has to be given back."""

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        self._students.add(model, weights)

    async def remove_model(self, model: ModelHash) -> None:
        self._students.remove(model)
        if model not in self._students:
            self._measurements.forget(subject=model)

    async def add_samples(self, samples: Sequence[Sample]) -> None:
        """Keeps labelled sketches: the newest 400 of a camera, and 1 GiB of pixels of all cameras."""
        self._samples.add(samples)

    async def forget_samples(self, camera: CameraId, before: float = math.inf) -> None:
        self._samples.forget(camera, before)
        if before == math.inf:
            self._measurements.forget(camera=camera)

    async def create_job(self, job: JobId, start: ModelHash) -> None:
        student = self._students[start]
        self._measurements.forget(subject=job)
        self._jobs[job] = _Job(student)

    async def drop_job(self, job: JobId) -> None:
        if self._jobs.pop(job, None) is not None:
            self._measurements.forget(subject=job)

    async def train(self, job: JobId, evidence: Sequence[Evidence], images: float) -> TrainResult:
        """One micro-window, in the steps that the real trainer would draw (``budget.steps_within``)."""
        state = self._job(job)
        batch = self._section.batch * self._section.gpus
        drawn = list(steps_within(self._samples, evidence, batch, images, self._random))
        if not drawn:
            cameras = ", ".join(each.camera for each in evidence) or "no camera"
            raise NoSamplesError(f"job {job}: no sample to train on yet from {cameras}")
        before = state.student
        state.trainings += 1
        chance = float(stream(self._seed, "curve", "luck", job, state.trainings).standard_normal())
        draws = Counter(_name(sample) for step in drawn for sample in step.samples)
        views = {_name(each): self._view(each.image) for step in drawn for each in step.samples}
        lesson = self._lesson(drawn, views)
        skills = taught(self._fit.learning, before.skills, lesson, chance)
        state.remember(draws)
        state.student = CurveStudent(skills, _lineage(before.lineage, job, state.trainings), before.size)
        self._measurements.forget(subject=job)
        return TrainResult(
            steps=len(drawn),
            images=sum(len(step.samples) for step in drawn),
            reference_images=math.fsum(step.cost for step in drawn),
            losses=self._losses(len(drawn), lesson, before, state.student),
            wall_s=0.0,
        )

    async def evaluate(
        self, subjects: Sequence[JobId | ModelHash], evidence: Sequence[Evidence], frames: int
    ) -> Evaluation:
        """mAP on each camera's newest ``frames`` held-out frames that count, as the real trainer's."""
        for subject in subjects:
            self._student(subject)
        samples = {
            each.camera: self._samples.evaluation(each.camera, frames, each.since) for each in evidence
        }
        accuracy, images = self._measurements.measure_all(subjects, samples)
        return Evaluation(accuracy, images, wall_s=0.0)

    async def export(self, job: JobId) -> tuple[ModelHash, bytes]:
        weights = to_bytes(self._job(job).student, self._fit.file_bytes)
        return model_hash(weights), weights

    def skills(self, subject: JobId | ModelHash) -> dict[str, float]:
        """A job's or a student's skill by condition, without noise. Raises ``UnknownModelError``."""
        return dict(self._student(subject).skills)

    def _job(self, job: JobId) -> _Job:
        try:
            return self._jobs[job]
        except KeyError:
            raise UnknownModelError(f"there is no retraining job {job}") from None

    def _student(self, subject: Subject) -> CurveStudent:
        if subject in self._jobs:
            return self._jobs[JobId(subject)].student
        if ModelHash(subject) not in self._students:
            raise UnknownModelError(f"there is neither a retraining job nor a student {subject}")
        return self._students[ModelHash(subject)]

    def _detect(self, subject: Subject, images: Sequence[Image]) -> list[Detections]:
        job = self._jobs.get(JobId(subject))
        draws = job.draws if job is not None else {}
        return self._seer.detect(self._student(subject), images, None, MIN_SCORE, draws)

    def _lesson(self, drawn: Sequence[DrawnStep], views: Mapping[FrameName, View]) -> dict[str, Taught]:
        """These steps as training on each condition."""
        steps: defaultdict[str, float] = defaultdict(float)
        images: defaultdict[str, float] = defaultdict(float)
        samples: defaultdict[str, float] = defaultdict(float)
        cameras: defaultdict[str, set[CameraId]] = defaultdict(set)
        for step in drawn:
            part_worth = step_worth(self._fit.learning, len(step.samples), step.cost) / len(step.samples)
            for sample in step.samples:
                for condition, part in views[_name(sample)].conditions.items():
                    steps[condition] += part * part_worth
                    images[condition] += part
        for (camera, _), view in views.items():
            for condition, part in view.conditions.items():
                samples[condition] += part
                cameras[condition].add(camera)
        return {
            name: Taught(steps[name], images[name], samples[name], len(cameras[name]))
            for name in sorted(steps)
        }

    def _losses(
        self, steps: int, lesson: Mapping[str, Taught], before: CurveStudent, after: CurveStudent
    ) -> list[float]:
        """The losses of so many steps, which take a student from one to the other."""
        images = math.fsum(each.images for each in lesson.values())
        ends = []
        for student in (before, after):
            learnt = math.fsum(
                each.images / images * student.skills[name] / self._fit.learning.curve(name).most
                for name, each in lesson.items()
                if name in student.skills
            )
            ends.append(_LOSS_BLIND + (_LOSS_PERFECT - _LOSS_BLIND) * min(1.0, learnt))
        return [ends[0] + (ends[1] - ends[0]) * (step + 1) / steps for step in range(steps)]


def _name(sample: Sample) -> FrameName:
    return sample.camera, sample.index


def _lineage(before: str, job: JobId, trainings: int) -> str:
    text = f"{before}/{job}/{trainings}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
