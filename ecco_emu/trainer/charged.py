"""GPU time in virtual time: a backend's calls last as long as the work that they are charged for.

On a real clock training takes the time that it takes on the host. In virtual time the host's speed must not
be seen, and a backend that only models training (``curve``) takes no time on any clock. So a call takes the
emulated time that its images cost on the scenario's GPUs: its due time is its start and that cost. Calls are
carried out one after the other, as on the GPUs that they stand for.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from ecco_emu.control.evidence import Evidence
from ecco_emu.core.clock import Clock
from ecco_emu.core.ids import CameraId, JobId, ModelHash
from ecco_emu.host.work import lasting
from ecco_emu.scenario.sections.trainer import TrainerSection
from ecco_emu.tasks.detection import Sample
from ecco_emu.trainer.backend import (
    DeviceInfo,
    Evaluation,
    LabelledImage,
    Speed,
    TrainerBackend,
    TrainResult,
)

PACE = 0.95
"""The part of a GPU's time in which it does the budget of that time. A little is left, as on a host that
keeps up: what a micro-window measures after training is charged to the next one, but must end in this one."""


class Charged:
    """Implements ``TrainerBackend`` around another backend.

    The seconds that results tell of are the emulated ones that were charged.
    """

    def __init__(
        self,
        backend: TrainerBackend,
        section: TrainerSection,
        clock: Clock,
        took: Callable[[str, float], None],
    ) -> None:
        """``took`` is told what a call did and the seconds of the wall that it took."""
        self._backend = backend
        self._took = took
        self._clock = clock
        self._image_s = PACE / (section.gpu_speed * section.gpus)
        """Emulated seconds that all GPUs together take for one reference image of training."""
        self._measure_s = section.evaluation_cost * self._image_s
        self._gpus = asyncio.Lock()

    async def start(self) -> DeviceInfo:
        return await self._backend.start()

    async def calibrate(self, model: ModelHash, pictures: Sequence[LabelledImage]) -> Speed:
        return await self._backend.calibrate(model, pictures)

    async def close(self) -> None:
        await self._backend.close()

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        await self._backend.add_model(model, weights)

    async def remove_model(self, model: ModelHash) -> None:
        await self._backend.remove_model(model)

    async def add_samples(self, samples: Sequence[Sample]) -> None:
        await self._backend.add_samples(samples)

    async def create_job(self, job: JobId, start: ModelHash) -> None:
        await self._backend.create_job(job, start)

    async def drop_job(self, job: JobId) -> None:
        await self._backend.drop_job(job)

    async def forget_samples(self, camera: CameraId, before: float = math.inf) -> None:
        await self._backend.forget_samples(camera, before)

    async def train(self, job: JobId, evidence: Sequence[Evidence], images: float) -> TrainResult:
        """Takes the time of ``images``, of which whole steps may use less."""
        lasts_s = images * self._image_s
        async with self._taking(lasts_s):
            trained = await self._backend.train(job, evidence, images)
        self._took("train", trained.wall_s)
        return replace(trained, wall_s=lasts_s)

    async def evaluate(
        self, subjects: Sequence[JobId | ModelHash], evidence: Sequence[Evidence], frames: int
    ) -> Evaluation:
        """Takes the time of the pictures that a model was run on, which are known when it is done."""
        async with self._gpus:
            measured = await self._backend.evaluate(subjects, evidence, frames)
            self._took("evaluate", measured.wall_s)
            lasts_s = measured.images * self._measure_s
            await self._clock.sleep_until(self._clock.now() + lasts_s)
        return replace(measured, wall_s=lasts_s)

    @asynccontextmanager
    async def _taking(self, lasts_s: float) -> AsyncIterator[None]:
        """The GPUs for one call that takes so long. Another process works meanwhile and is waited for."""
        async with self._gpus:
            end = self._clock.now() + lasts_s
            with lasting(lasts_s):
                yield
            # a backend without a process of its own is done at once
            await self._clock.sleep_until(end)

    async def export(self, job: JobId) -> tuple[ModelHash, bytes]:
        return await self._backend.export(job)
