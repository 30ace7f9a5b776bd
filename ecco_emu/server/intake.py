"""Video in, samples out: segments are decoded and kept until the GPUs are free to label them and to train."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId
from ecco_emu.core.messages import Segment
from ecco_emu.tasks.detection import Sample
from ecco_emu.trainer.backend import TrainerBackend
from ecco_emu.trainer.teacher import Teacher
from ecco_emu.video.codec import Codec

PENDING_PER_CAMERA = 256
"""Frames kept for a camera between two hand-overs to the trainer. At 10 frames a second it is 25 s of video,
more than any micro-window; beyond it the oldest are dropped, so that a stuck trainer cannot fill the
memory."""

HAND_OVER_BATCH = 8
"""Samples in one message to the trainer's process. Pickling one holds the interpreter's lock, and with it the
event loop, for about 0.1 ms; eight stay within a timer's usual lateness."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """What a hand-over took of the GPUs."""

    images: int
    wall_s: float


class Intake:
    """Frames wait here until the GPUs are free, so that receiving never waits for training.

    A teacher that is a model shares the GPUs with the trainer. Labelling on arrival would hold up whatever a
    camera says next until the micro-window in progress has ended.
    """

    def __init__(self, codec: Codec, teacher: Teacher, trainer: TrainerBackend) -> None:
        self._codec = codec
        self._teacher = teacher
        self._trainer = trainer
        self._pending: dict[CameraId, deque[Frame]] = {}

    async def take(self, segment: Segment) -> None:
        """Decodes a segment and keeps its frames. Raises ``ProtocolError`` for video that does not decode."""
        frames = await self._codec.frames(segment)
        camera = CameraId(segment.camera)
        self._pending.setdefault(camera, deque(maxlen=PENDING_PER_CAMERA)).extend(frames)

    async def hand_over(self) -> Labelled:
        """Labels everything pending and gives it to the trainer, before it trains or measures."""
        pending, self._pending = self._pending, {}
        images, wall_s = 0, 0.0
        for camera, frames in pending.items():
            listed = list(frames)
            for first in range(0, len(listed), HAND_OVER_BATCH):
                batch = listed[first : first + HAND_OVER_BATCH]
                started = asyncio.get_running_loop().time()
                labels = await self._teacher.label(camera, batch)
                wall_s += asyncio.get_running_loop().time() - started
                images += len(batch)
                await self._trainer.add_samples(
                    [
                        Sample(camera, frame.index, frame.t, frame.image, each)
                        for frame, each in zip(batch, labels, strict=True)
                    ]
                )
        return Labelled(images, wall_s)
