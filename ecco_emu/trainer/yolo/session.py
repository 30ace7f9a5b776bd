"""A retraining job's training: model, optimizer and random stream, kept between micro-windows.

A training loop of our own instead of ``YOLO.train``, which starts anew each time: on a CPU a micro-window of
40 images takes a third of the time so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from ultralytics.nn.tasks import DetectionModel

from ecco_emu.core.random_streams import stream
from ecco_emu.trainer.backend import LabelledImage, TrainResult
from ecco_emu.trainer.yolo.pictures import Augmentation, fitted, stack, training_batch
from ecco_emu.trainer.yolo.steps import (
    adamw,
    default_precision,
    freeze_projection,
    renew_statistics,
    step,
)

ADAPTATION = Augmentation(flip=0.5, scale=0.15, translate=0.05, gain=0.1)
"""Milder than in pretraining, because retraining must learn one condition in few steps."""

SETTLING_PICTURES = 24
"""Newest pictures that batch norm's statistics are measured on when a micro-window ends: about 0.3 s."""
_SETTLING_BATCH = 12


class TrainingSession:
    """Trains one student in micro-windows. Equal seeds and pictures give equal losses on one machine.

    With several ``ranks`` every rank holds a session of the same name. Each sees its own part of each batch,
    and they average their gradients through torch.distributed.
    """

    def __init__(
        self,
        model: DetectionModel,
        size: tuple[int, int],
        *,
        learning_rate: float,
        seed: int,
        name: str = "",
        augmentation: Augmentation = ADAPTATION,
        device: torch.device | None = None,
        precision: torch.dtype | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.model = model.to(self.device)
        self.size = size
        self._precision = precision or default_precision(self.device)
        self._augmentation = augmentation
        self._random = stream(seed, "training", name, rank)
        self._ranks = ranks
        freeze_projection(self.model)
        self._loss_of = self.model.init_criterion()
        self._optimizer = adamw(self.model, learning_rate)
        self._trained: nn.Module = self.model if ranks == 1 else _distributed(self.model, self.device)

    def train_micro(self, batches: Sequence[Sequence[LabelledImage]]) -> TrainResult:
        """One step per batch. A batch is for all GPUs together, or this rank's part of it."""
        started = time.perf_counter()
        self._trained.train()
        losses = [self._step(pictures) for pictures in batches]
        self._settle([picture for batch in batches for picture in batch][-SETTLING_PICTURES:])
        if self._ranks > 1:
            losses = _averaged(losses, self.device)
        return TrainResult(
            steps=len(losses),
            images=sum(len(pictures) for pictures in batches),
            losses=losses,
            wall_s=time.perf_counter() - started,
        )

    def _step(self, pictures: Sequence[LabelledImage]) -> float:
        batch = training_batch(pictures, self.size, self._augmentation, self._random)
        return step(self._trained, self._loss_of, self._optimizer, batch, self._precision, ranks=self._ranks)

    def _settle(self, pictures: Sequence[LabelledImage]) -> None:
        images = stack([fitted(image, self.size)[0] for image, _ in pictures]).to(self.device)
        renew_statistics(self.model, torch.split(images, _SETTLING_BATCH), self._precision)


def steps_in(images: int, batch: int) -> int:
    """The number of whole steps that a budget of images pays for, but one at least."""
    return max(1, images // batch)


def _distributed(model: DetectionModel, device: torch.device) -> DistributedDataParallel:
    return DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)


def _averaged(losses: list[float], device: torch.device) -> list[float]:
    total = torch.tensor(losses, device=device)
    torch.distributed.all_reduce(total)
    return [float(loss) for loss in total / torch.distributed.get_world_size()]
