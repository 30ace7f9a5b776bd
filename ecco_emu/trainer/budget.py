"""A micro-window's budget in reference images: what a step costs, and at which size it trains. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ecco_emu.control.evidence import Evidence
from ecco_emu.control.sampling import STRIDE_PX
from ecco_emu.core.frames import Image
from ecco_emu.tasks.detection import Sample
from ecco_emu.trainer.backend import REFERENCE_SIZE
from ecco_emu.trainer.samples import SampleStore

LEAST_SIDE_PX = 2 * STRIDE_PX
"""Of a training picture. With a side of one stride a batch of one picture would have a single cell in the
coarsest map, and batch norm needs two values."""


@dataclass(frozen=True, slots=True)
class DrawnStep:
    """The samples of one step on all GPUs, and the size (width, height) that they are trained at."""

    size: tuple[int, int]
    samples: Sequence[Sample]

    @property
    def cost(self) -> float:
        """In images of ``REFERENCE_SIZE``, by pixels."""
        return len(self.samples) * math.prod(self.size) / math.prod(REFERENCE_SIZE)


def training_size(image: Image) -> tuple[int, int]:
    """The size that a picture (height, width, 3) is trained at: its own, with sides rounded up to strides."""
    height, width = image.shape[:2]
    return _up(width), _up(height)


def steps_within(
    store: SampleStore, evidence: Sequence[Evidence], count: int, budget: float, random: np.random.Generator
) -> Iterator[DrawnStep]:
    """Steps of ``count`` samples each for as long as ``budget`` reference images pay for them, one at least.

    None if the cameras have no sample. A step has one size, that of one of its samples, drawn at random: so
    sizes come as often as they are drawn, and a group of cameras that send different sizes learns all of
    them. The step's other samples are fitted to it.
    """
    left = math.inf  # the first step is always taken
    while samples := store.draw(evidence, count, random):
        step = DrawnStep(training_size(samples[int(random.integers(len(samples)))].image), samples)
        if step.cost > left + 1e-9:
            return
        left = min(left, budget) - step.cost
        yield step


def _up(side_px: int) -> int:
    return max(LEAST_SIDE_PX, math.ceil(side_px / STRIDE_PX) * STRIDE_PX)
