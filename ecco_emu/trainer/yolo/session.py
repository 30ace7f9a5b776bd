"""A retraining job's training: model, optimizer and random stream, kept between micro-windows.

A training loop of our own instead of ``YOLO.train``, which starts anew each time: on a CPU a micro-window of
40 images takes a third of the time so.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from ultralytics.nn.tasks import DetectionModel

from ecco_emu.core.random_streams import stream
from ecco_emu.trainer.backend import LabelledImage
from ecco_emu.trainer.yolo.devices import default_precision, memory_format
from ecco_emu.trainer.yolo.pictures import Augmentation, fitted, stack, training_batch
from ecco_emu.trainer.yolo.steps import (
    adamw,
    freeze_projection,
    renew_statistics,
    step,
)

ADAPTATION = Augmentation(flip=0.5, scale=0.15, translate=0.05, gain=0.1)
"""Milder than in pretraining, because retraining must learn one condition in few steps."""

SETTLING_PICTURES = 24
"""Pictures of the last steps that batch norm's statistics are measured on when a micro-window ends."""
_SETTLING_BATCH = 12


@dataclass(frozen=True, slots=True)
class GpuBatches:
    """The pictures of one step."""

    size: tuple[int, int]
    """Width and height that all of them are fitted to."""
    parts: Sequence[Sequence[LabelledImage]]
    """One a GPU."""

    def pictures(self) -> list[LabelledImage]:
        return [picture for part in self.parts for picture in part]

    def of_rank(self, rank: int, ranks: int) -> GpuBatches:
        """The parts of the GPUs that a rank stands for."""
        return GpuBatches(self.size, self.parts[rank::ranks])


class TrainingSession:
    """Trains one student in micro-windows. Equal seeds and pictures give equal losses on one machine.

    With several ``ranks`` every rank holds a session of the same name, which stands for the GPUs ``rank``,
    ``rank + ranks``, ... They add up their gradients through torch.distributed. Chance is a GPU's own, so
    that it does not matter which rank a GPU belongs to.
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
        gpus: int = 1,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.model = model.to(self.device, memory_format=memory_format(self.device))
        self.size = size
        self._precision = precision or default_precision(self.device)
        self._augmentation = augmentation
        self._random = [stream(seed, "training", name, gpu) for gpu in range(rank, gpus, ranks)]
        self._ranks = ranks
        freeze_projection(self.model)
        self._loss_of = self.model.init_criterion()
        self._optimizer = adamw(self.model, learning_rate)
        self._trained: nn.Module = self.model if ranks == 1 else _distributed(self.model, self.device)

    def train_micro(
        self, steps: Sequence[GpuBatches], settle_on: Sequence[LabelledImage] = ()
    ) -> tuple[list[float], float]:
        """Takes these steps on this rank's GPUs.

        Returns each step's loss, summed over the images of all ranks, and the seconds that it all took.
        At the end batch norm's statistics are renewed on the pictures ``settle_on``. Only rank 0 needs that:
        in training they are not read.
        """
        started = time.perf_counter()
        self._trained.train()
        losses = [self._step(each) for each in steps]
        if settle_on:
            settle(self.model, settle_on, settling_size(steps), self._precision)
        if self._ranks > 1:
            losses = _added(losses, self.device)
        return losses, time.perf_counter() - started

    def _step(self, batches: GpuBatches) -> float:
        prepared = [
            training_batch(part, batches.size, self._augmentation, random)
            for part, random in zip(batches.parts, self._random, strict=True)
        ]
        return step(
            self._trained, self._loss_of, self._optimizer, prepared, self._precision, ranks=self._ranks
        )


def settle(
    model: DetectionModel, pictures: Sequence[LabelledImage], size: tuple[int, int], precision: torch.dtype
) -> None:
    """Renews batch norm's statistics on these pictures, fitted to ``size``. Leaves training mode on."""
    device = next(model.parameters()).device
    images = stack([fitted(image, size)[0] for image, _ in pictures], device)
    renew_statistics(model, torch.split(images, _SETTLING_BATCH), precision)


def settling_size(steps: Sequence[GpuBatches]) -> tuple[int, int]:
    """The size at which batch norm's statistics are measured: the one that most pixels were trained at.

    Not the student's input size: statistics of small pictures that were enlarged to it do not fit weights
    that were trained on them as they came.
    """
    pixels: Counter[tuple[int, int]] = Counter()
    for each in steps:
        pixels[each.size] += math.prod(each.size)
    return max(pixels, key=lambda size: (pixels[size], size))


def _distributed(model: DetectionModel, device: torch.device) -> DistributedDataParallel:
    return DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)


def _added(losses: list[float], device: torch.device) -> list[float]:
    total = torch.tensor(losses, dtype=torch.float64, device=device)
    torch.distributed.all_reduce(total)
    return [float(loss) for loss in total]
