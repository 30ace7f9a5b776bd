"""The interfaces of a camera to the rest: clock, frames, inference, network, record.

``emulation`` supplies the real ones, tests supply small ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from ecco_emu.core.clock import Clock
from ecco_emu.core.events import AnyEvent, DeadlineMissed
from ecco_emu.core.frames import Frame, Image
from ecco_emu.core.ids import CameraId, ModelHash
from ecco_emu.tasks.detection import Detections
from ecco_emu.transport.adapter import Peer
from ecco_emu.video.codec import Codec


class FrameSource(Protocol):
    """The part of a world that a camera sees (``world.source.World`` describes the calls)."""

    async def frame(self, camera: CameraId, index: int) -> Frame: ...

    def position(self, camera: CameraId, t: float) -> tuple[float, float]: ...

    def condition(self, camera: CameraId, t: float) -> str: ...

    def settled(self, camera: CameraId, t: float) -> bool: ...


class CameraInference(Protocol):
    """The cameras' inference: the chip in each camera that runs its student. Not the edge server's GPUs."""

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        """Keeps a student's file, to be run by its hash, until ``remove_model`` was called as often.

        Raises ``BadStudentError`` if it is no student.
        """
        ...

    async def remove_model(self, model: ModelHash) -> None:
        """One user less of a student, which is forgotten with the last."""
        ...

    async def detect(
        self, model: ModelHash, images: Sequence[Image], *, size: tuple[int, int] | None = None
    ) -> list[Detections]:
        """The student's detections in each picture (height, width, 3), boxes in that picture's pixels.

        The student looks at the pictures in ``size`` (width, height, multiples of 32), by default in its own.
        """
        ...


Observer = Callable[[CameraId, int, ModelHash, Detections], None]
"""Called for every frame that the student looked at: camera, frame index, student, its detections."""


@dataclass(frozen=True, slots=True)
class CameraPorts:
    clock: Clock
    source: FrameSource
    detector: CameraInference
    connect: Callable[[], AbstractAsyncContextManager[Peer]]
    """Connects to the server; the connection closes when the context ends. Raises ``ConnectionClosed``."""
    emit: Callable[[AnyEvent], None]
    observe: Observer
    missed_deadline: Callable[[DeadlineMissed], None]
    """Called when frames were missed because the host was too slow."""
    codec: Codec
