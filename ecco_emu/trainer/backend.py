"""The trainer's interface: all that a run asks of the edge server's GPUs, with its results and errors.

``TrainerBackend`` is the interface. A backend lives in a folder of its own, as ``yolo`` does; the server and
the emulation know no more of it than stands here. Imports neither torch nor Ultralytics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ecco_emu.control.evidence import Estimate, Evidence
from ecco_emu.core import frames
from ecco_emu.core.errors import EccoError, PeerError
from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId, JobId, ModelHash
from ecco_emu.tasks.detection import Labels, Sample

REFERENCE_SIZE = frames.REFERENCE_SIZE
"""The image that GPU budgets are counted in."""

MIN_SCORE = 0.001
"""Where accuracy is measured, detections with a lower confidence are not reported. So low, because mAP counts
unsure detections too."""
LIVE_MIN_SCORE = 0.01
"""The same for the frames that cameras look at in a run: non-maximum suppression takes half of the time. With
0.05 it would be a quarter, but a student that no longer fits would seem surer than it is, because drift
detection takes the mean of the detections that are left (docs/notes/trainer.md)."""

LabelledImage = tuple[Image, Labels]
"""A picture (height, width, 3) with its labels, boxes in the picture's pixels."""


class BadStudentError(PeerError):
    """The bytes are not a student's file: truncated, foreign, too large, not finite, or of another hash."""


class NoSamplesError(EccoError):
    """None of the cameras has a sample to train on yet."""


class UnknownModelError(EccoError):
    """There is no student or job of that name: it was never added, or it was evicted or dropped."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the training process is told once, when it starts."""

    gpus: int
    batch: int
    """Images per GPU in one step."""
    learning_rate: float
    seed: int
    threads: int
    """Of torch, all processes of the backend together."""
    held_out: float = 0.25
    """Least part of a camera's samples that is kept for evaluation and never trained on. It is more for a
    camera whose samples arrive slowly (``held_out_frames``), up to a half."""
    held_out_frames: int = 8
    """As many held-out frames should come from each camera within ``held_out_span_s``."""
    held_out_span_s: float = 20.0
    """Emulated seconds: the age up to which a frame is evidence."""
    virtual_ranks: int | None = None
    """Processes to train in instead of one per real GPU: to try the distributed path on a CPU or one GPU."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What one micro-window of training did."""

    steps: int
    images: int
    """Images in all these steps together, on all GPUs."""
    reference_images: float
    """The same in images of ``REFERENCE_SIZE``, by pixels: the part of the budget that was spent."""
    losses: list[float]
    """Mean loss per image of every step (box, class and distribution terms, with their gains)."""
    wall_s: float
    """Seconds of the wall that training took, without waiting for its turn."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracies of models on cameras, and what measuring them took."""

    accuracy: Mapping[tuple[str, CameraId], Estimate]
    """By job or student and camera. Cameras without frames that count, or without any object in these, are
    left out: nothing is known of them, which is not an accuracy of 0."""
    images: int
    """Pictures that a model was run on. Detections that were at hand from an earlier call cost nothing."""
    wall_s: float


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """Where training runs."""

    device: str
    """``cpu``, ``cuda:0`` or ``cuda:0,1``."""
    gpus: int
    """GPUs the scenario asks for: a step has this many times ``trainer.batch`` images."""
    virtual: bool
    """True when some of ``gpus`` do not exist: steps of the same size on the devices there are."""
    precision: str
    """``float32``, or ``bfloat16`` for the forward pass of training (weights stay float32)."""
    threads: int
    """CPU threads that training keeps busy."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Measured on this machine, seconds of the wall while the trainer has its cores."""

    train_images_per_s: float
    """Images of the student's input size that training steps take."""
    inference_images_per_s: float
    """Images on which a model is measured, its metric not included."""
    micro_s: float = 0.0
    """What a micro-window takes beside its steps, such as renewing batch norm's statistics."""
    export_s: float = 0.0
    """Making a job's student into a file."""


class TrainerBackend(Protocol):
    """The edge server's GPUs: students, samples and retraining jobs, and the work done on them.

    Calls are carried out one after the other, in the order in which they were made; each is awaited without
    blocking the event loop. Students are named by the hash of their file, jobs by the server. Every call may
    raise ``HostError`` when the backend's processes are gone.

    Apart from ``start`` and ``calibrate``, all results must be a function of the calls so far and of the
    seed the backend was made with: a run with the same seed decides the same.
    """

    async def start(self) -> DeviceInfo:
        """Gets ready to train, which may take some seconds. Called once, before anything else."""
        ...

    async def calibrate(self, model: ModelHash, pictures: Sequence[LabelledImage]) -> Speed:
        """Measures for some seconds how fast this machine trains and infers.

        It is done with a student that was added, and with pictures of the run's own kind: how many boxes a
        model finds decides how long it takes. Leaves no trace: the jobs trained afterwards end up the same
        with and without it. Raises ``UnknownModelError``.
        """
        ...

    async def close(self) -> None:
        """Gives everything back at once; a call in progress is abandoned. May be called more than once."""
        ...

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        """Keeps a student's file for as long as it is needed: until ``remove_model`` was called as often.

        Raises ``BadStudentError`` if the bytes are no student, or have another hash.
        """
        ...

    async def remove_model(self, model: ModelHash) -> None:
        """One user less of a student's file, which is forgotten with the last. Jobs from it go on."""
        ...

    async def add_samples(self, samples: Sequence[Sample]) -> None:
        """Keeps labelled frames to train on and to evaluate with; old ones may be dropped to make room."""
        ...

    async def create_job(self, job: JobId, start: ModelHash) -> None:
        """A retraining job that starts from a student; a job of that name starts anew.

        Raises ``UnknownModelError`` if that student is not here.
        """
        ...

    async def drop_job(self, job: JobId) -> None:
        """Forgets a job and its training state; nothing happens when there is no such job."""
        ...

    async def forget_samples(self, camera: CameraId, before: float = math.inf) -> None:
        """Drops the camera's samples that were captured before this emulated second."""
        ...

    async def train(self, job: JobId, evidence: Sequence[Evidence], images: float) -> TrainResult:
        """One micro-window: all GPUs train ``job`` on these cameras' samples, none older than ``since``.

        ``images`` is the budget, in images of ``REFERENCE_SIZE``; pictures are trained on at the size in
        which they arrived. The budget is cut to whole steps, but one step is taken at least. Raises
        ``NoSamplesError`` if the cameras have nothing to train on yet, ``UnknownModelError`` if there is no
        such job.
        """
        ...

    async def evaluate(
        self, subjects: Sequence[JobId | ModelHash], evidence: Sequence[Evidence], frames: int
    ) -> Evaluation:
        """The accuracy of every job or student on each camera's newest ``frames`` frames that count.

        For detection it is mAP at IoU 0.50:0.95. The frames are held out from training where there are
        enough of them. All subjects are measured on the same frames, cut into the same blocks, so that
        ``control.evidence.paired`` applies. Raises ``UnknownModelError``.
        """
        ...

    async def export(self, job: JobId) -> tuple[ModelHash, bytes]:
        """The hash and the file of the job's student as it is now.

        Raises ``UnknownModelError`` if there is no such job, ``BadStudentError`` if its training diverged.
        """
        ...


class TeacherHost(Protocol):
    """A backend whose GPUs can run a teacher between micro-windows too."""

    async def load_teacher(self, path: Path) -> None:
        """Loads a YOLO weight file to label with. Raises ``ScenarioError`` if it is none."""
        ...

    async def label(self, images: Sequence[Image]) -> list[Labels]:
        """The loaded teacher's labels of pictures of one size."""
        ...
