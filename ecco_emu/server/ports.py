"""What the server is plugged into: the trainer, the teacher, and the record of what happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ecco_emu.core.clock import Clock
from ecco_emu.core.events import AnyEvent
from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId, JobId, ModelHash
from ecco_emu.tasks.detection import Labels, Sample


class Trained(Protocol):
    """What one micro-window of training did."""

    @property
    def steps(self) -> int: ...
    @property
    def images(self) -> int: ...
    @property
    def losses(self) -> list[float]: ...
    @property
    def wall_s(self) -> float: ...


class TrainerBackend(Protocol):
    """The edge server's GPUs. Calls are carried out in order; none blocks the event loop."""

    async def add_model(self, model: ModelHash, weights: bytes) -> None: ...

    async def add_samples(self, samples: Sequence[Sample]) -> None: ...

    async def create_job(self, job: JobId, start: ModelHash) -> None: ...

    async def train(self, job: JobId, cameras: Sequence[CameraId], images: int) -> Trained:
        """One micro-window on all GPUs over the cameras' samples."""
        ...

    async def evaluate(
        self, subjects: Sequence[JobId | ModelHash], cameras: Sequence[CameraId]
    ) -> Mapping[tuple[str, CameraId], float]:
        """mAP of every subject on every camera's newest frames. Cameras without samples are left out."""
        ...

    async def export(self, job: JobId) -> tuple[ModelHash, bytes]: ...


class Teacher(Protocol):
    async def label(self, camera: CameraId, index: int, image: Image) -> Labels: ...


@dataclass(frozen=True, slots=True)
class ServerPorts:
    clock: Clock
    trainer: TrainerBackend
    teacher: Teacher
    emit: Callable[[AnyEvent], None]
    received: Callable[[CameraId, int], None]
    """Told how many bytes of video just arrived from a camera."""
    missed_deadline: Callable[[str], None]
