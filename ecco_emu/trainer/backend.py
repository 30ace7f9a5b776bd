"""What the trainer says to the rest: results and errors. Imports neither torch nor Ultralytics."""

from __future__ import annotations

from dataclasses import dataclass

from ecco_emu.core.errors import EccoError, PeerError
from ecco_emu.core.frames import Image
from ecco_emu.tasks.detection import Labels

Picture = tuple[Image, Labels]
"""A picture with its labels, boxes in the picture's pixels."""


class BadStudentError(PeerError):
    """The bytes are not a student's safetensors file: truncated, foreign, too large, not finite."""


class NoSamplesError(EccoError):
    """None of the cameras has a sample to train on yet."""


class UnknownModelError(EccoError):
    """No student or job of that name is here; it was never added, or it was evicted or dropped."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the training process is told once, when it starts."""

    gpus: int
    batch: int
    """Images per GPU in one step."""
    learning_rate: float
    eval_frames: int
    seed: int
    threads: int
    virtual_ranks: int | None = None
    """Processes to train in instead of one per real GPU: to try the distributed path on a CPU."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What one micro-window of training did."""

    steps: int
    images: int
    losses: list[float]
    """Mean loss per image of every step (box, class and distribution terms, with their gains)."""
    wall_s: float


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """Where training runs."""

    device: str
    """``cpu``, ``cuda:0`` or ``cuda:0,1``."""
    gpus: int
    """GPUs the scenario asks for: the batch is this many times ``Trainer.batch``."""
    virtual: bool
    """True when some of ``gpus`` do not exist: steps of the same size on the devices there are."""
    precision: str
    """``float32``, or ``bfloat16`` for the forward pass of training (weights stay float32)."""
    threads: int


@dataclass(frozen=True, slots=True)
class Speed:
    """Measured on this machine, images of the student's input size per second of the wall."""

    train_images_per_s: float
    inference_images_per_s: float
