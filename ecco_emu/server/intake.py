"""Video in, samples out: segments are decoded, labelled by the teacher, and kept until the trainer takes
them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from ecco_emu.core.ids import CameraId
from ecco_emu.core.messages import Segment
from ecco_emu.tasks.detection import Sample
from ecco_emu.trainer.backend import TrainerBackend
from ecco_emu.trainer.teacher import Teacher
from ecco_emu.video.messages import from_message

PENDING_PER_CAMERA = 256
"""Samples kept for a camera between two hand-overs to the trainer. At 10 frames a second it is 25 s of video,
more than any micro-window; beyond it the oldest are dropped, so that a stuck trainer cannot fill the
memory."""

HAND_OVER_BATCH = 8
"""Samples in one message to the trainer's process. Pickling one holds the interpreter's lock, and with it the
event loop, for about 0.1 ms; eight stay within a timer's usual lateness."""


class Intake:
    """Samples wait here until the GPU is free to take them, so that receiving never waits for training."""

    def __init__(self, teacher: Teacher, trainer: TrainerBackend) -> None:
        self._teacher = teacher
        self._trainer = trainer
        self._pending: dict[CameraId, deque[Sample]] = {}
        self.received: dict[CameraId, int] = {}
        """Samples ever taken in, by camera."""

    async def take(self, segment: Segment) -> list[Sample]:
        """Decodes and labels. Raises ``ProtocolError`` for video that does not decode."""
        frames = await asyncio.to_thread(from_message, segment)
        samples = []
        for frame in frames:
            labels = await self._teacher.label(frame.camera, frame.index, frame.image)
            samples.append(Sample(frame.camera, frame.index, frame.t, frame.image, labels))
        self._keep(CameraId(segment.camera), samples)
        return samples

    async def hand_over(self) -> None:
        """Gives everything pending to the trainer, before it trains or measures."""
        batches = [sample for pending in self._pending.values() for sample in pending]
        self._pending.clear()
        for first in range(0, len(batches), HAND_OVER_BATCH):
            await self._trainer.add_samples(batches[first : first + HAND_OVER_BATCH])

    def _keep(self, camera: CameraId, samples: Sequence[Sample]) -> None:
        pending = self._pending.setdefault(camera, deque(maxlen=PENDING_PER_CAMERA))
        pending.extend(samples)
        self.received[camera] = self.received.get(camera, 0) + len(samples)
