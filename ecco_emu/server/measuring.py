"""Accuracy as the server measures it: on which frames, and at what price in GPU time.

The GPUs that train also measure and label, so both are charged: in *reference images*, the unit of the
training budget. What is owed is taken from the budgets of the micro-windows that follow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecco_emu.control.evidence import Estimate, Evidence
from ecco_emu.core.clock import Clock
from ecco_emu.core.ids import CameraId, JobId, ModelHash
from ecco_emu.scenario import schema
from ecco_emu.server.intake import Intake
from ecco_emu.server.jobs import CameraRequest, Job
from ecco_emu.trainer.backend import Evaluation, TrainerBackend

MOST_CHARGED = 0.9
"""Of the budget of a micro-window that trains; more is owed to the next one. Hardly less than all of it,
because the measurement at a window's end takes the time of the micro-windows that follow: whatever they
trained beyond the rest of their budgets would take longer than they last."""

REQUEST_FRAMES = 12
"""Newest frames of one camera that models are compared on: those that its request brought, and a few more
where it streams already."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a micro-window pays for measuring and labelling."""

    images: float
    """Reference images taken from its budget. Seconds of the wall are shared out like images."""
    evaluate_wall_s: float
    label_wall_s: float


class Measuring:
    """Measures jobs and requests, and keeps the account of what that costs."""

    def __init__(
        self, scenario: schema.Scenario, intake: Intake, trainer: TrainerBackend, clock: Clock
    ) -> None:
        settings = scenario.trainer
        self._few, self._many = settings.eval_frames, settings.window_frames
        self._image_cost, self._label_cost = settings.evaluation_cost, settings.label_cost
        self._age_s = scenario.windows.length
        self._intake = intake
        self._trainer = trainer
        self._clock = clock
        self._owed = 0.0
        self._evaluate_wall_s = 0.0
        self._label_wall_s = 0.0

    async def job(self, job: Job) -> Mapping[CameraId, Estimate]:
        """The job's model on a few newest frames of each member, at most a window old.

        Few, because it happens twice in every micro-window: ``trainer.eval_frames`` are spread over the
        group, one of each camera at least. Both measurements of a micro-window take the same frames.
        """
        frames = max(1, math.ceil(self._few / len(job.members)))
        # by age and not by count alone: eight frames of a slow camera may reach back past a new drift
        evidence = job.evidence(self._clock.now() - self._age_s)
        return _by_camera(await self._evaluate([job.id], evidence, frames), job.id)

    async def at_window_end(self, job: Job, window_start: float) -> Mapping[CameraId, Estimate]:
        """The job's model on many frames of the window that ends, because groups are split by it."""
        measured = await self._evaluate([job.id], job.evidence(window_start), self._many)
        return _by_camera(measured, job.id)

    async def of_request(
        self, subjects: Sequence[JobId], request: CameraRequest
    ) -> tuple[Mapping[JobId, Estimate], Estimate | None]:
        """Jobs' models and the request's own on the request's frames (Algorithm 2, lines 5 and 6)."""
        measured = await self._evaluate([*subjects, request.model], [request.evidence], REQUEST_FRAMES)
        camera = request.camera
        jobs = {job: measured[job, camera] for job in subjects if (job, camera) in measured}
        return jobs, measured.get((request.model, camera))

    async def of_members_request(self, job: Job, request: CameraRequest) -> Estimate | None:
        """The group's model on the frames of a member that asks again; None if they hold no object."""
        accuracy = await self._evaluate([job.id], [request.evidence], REQUEST_FRAMES)
        return accuracy.get((job.id, request.camera))

    async def hand_over(self) -> None:
        """Labels all frames that arrived, and gives them to the trainer."""
        labelled = await self._intake.hand_over()
        self._owed += labelled.images * self._label_cost
        self._label_wall_s += labelled.wall_s

    def takes_all(self, budget: float) -> bool:
        """Whether a micro-window's whole ``budget`` of reference images is owed: then nothing can train."""
        return self._owed >= budget

    def charge(self, budget: float) -> Charge:
        """Settles what is owed, as far as a micro-window's ``budget`` of reference images pays for it."""
        paid = budget if self.takes_all(budget) else min(self._owed, MOST_CHARGED * budget)
        part = paid / self._owed if self._owed else 1.0
        charge = Charge(paid, part * self._evaluate_wall_s, part * self._label_wall_s)
        self._owed -= paid
        self._evaluate_wall_s -= charge.evaluate_wall_s
        self._label_wall_s -= charge.label_wall_s
        return charge

    async def _evaluate(
        self, subjects: Sequence[JobId | ModelHash], evidence: Sequence[Evidence], frames: int
    ) -> Mapping[tuple[str, CameraId], Estimate]:
        measured: Evaluation = await self._trainer.evaluate(subjects, evidence, frames)
        self._owed += measured.images * self._image_cost
        self._evaluate_wall_s += measured.wall_s
        return measured.accuracy


def _by_camera(accuracy: Mapping[tuple[str, CameraId], Estimate], job: JobId) -> dict[CameraId, Estimate]:
    return {camera: estimate for (subject, camera), estimate in accuracy.items() if subject == job}
