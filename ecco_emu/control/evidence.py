"""How much a measured accuracy says: which frames count, and which differences they support.

An accuracy measured on a few frames is an estimate, and a decision on two of them must know how far they can
be trusted. The uncertainty comes from the delete-a-group jackknife: the measure is taken again with each
block of consecutive frames left out, and the spread of these *replicates* gives its standard error. Blocks,
not single frames, because cars that stay in view make neighbouring frames alike. A replicate costs no
inference, only the metric on detections that are there already.

Two models are compared on the same frames, so their difference is *paired*: the replicates are subtracted
block by block, and whatever makes a frame hard for both cancels. One model over two windows is measured on
different frames, so the errors of both add (*two-sample*).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ecco_emu.core.ids import CameraId

BLOCKS = 8
"""Most blocks of consecutive frames that replicates leave out."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The frames of one camera that may be measured or trained on: those captured at ``since`` or later."""

    camera: CameraId
    since: float = -math.inf
    """Emulated second. Older frames are from before the camera's drift, or too old to count."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A model's accuracy on some frames of one camera, 0 to 1, with its replicates."""

    value: float
    frames: int
    """Frames that it was measured on."""
    replicates: tuple[float, ...] = ()
    """The accuracy with each block of frames left out, in order of time; empty for fewer than two blocks."""
    quality: tuple[tuple[float, float], ...] = ()
    """By frame, its emulated second of capture and the model's F1 at IoU 0.5 on it; frames without objects
    are left out."""


@dataclass(frozen=True, slots=True)
class AccuracyDifference:
    """A difference of accuracies with its standard error. Without replicates the error is unknown."""

    value: float
    error: float | None
    freedom: float = math.inf
    """Degrees of freedom of the error's own estimate (Student's t)."""

    def lower(self, confidence: float) -> float:
        """The value that the true difference exceeds with this confidence, 0.5 to 1, one-sided.

        With 0.5 it is the difference itself: nothing is asked of the evidence. An unknown error supports
        nothing else. Raises ``ValueError`` for a confidence outside [0.5, 1).
        """
        if not 0.5 <= confidence < 1:
            raise ValueError(f"a confidence is in [0.5, 1), got {confidence}")
        if confidence == 0.5:
            return self.value
        if self.error is None:
            return -math.inf
        return self.value - _t_quantile(self.freedom, confidence) * self.error


def paired(first: Estimate, second: Estimate) -> AccuracyDifference:
    """``first - second`` of two models on the same frames, cut into the same blocks.

    Raises ``ValueError`` when they were not measured on as many frames and blocks.
    """
    if first.frames != second.frames or len(first.replicates) != len(second.replicates):
        raise ValueError("a paired difference needs both accuracies on the same frames")
    value = first.value - second.value
    gaps = [a - b for a, b in zip(first.replicates, second.replicates, strict=True)]
    return AccuracyDifference(value, _jackknife_error(gaps), max(1, len(gaps) - 1))


def two_sample(first: Estimate, second: Estimate, between: float = 0.0) -> AccuracyDifference:
    """``first - second`` of accuracies that were measured on different frames.

    ``between`` is a standard deviation that is known beforehand, of what separates the two sets of frames and
    so does not show within either. The degrees of freedom are Welch's (it has infinitely many).
    """
    value = first.value - second.value
    errors = _jackknife_error(first.replicates), _jackknife_error(second.replicates)
    if errors[0] is None or errors[1] is None:
        return AccuracyDifference(value, None)
    variances = errors[0] ** 2, errors[1] ** 2
    total = sum(variances) + between**2
    spread = sum(
        variance**2 / (len(each.replicates) - 1)
        for variance, each in zip(variances, (first, second), strict=True)
    )
    return AccuracyDifference(value, math.sqrt(total), total**2 / spread if spread else math.inf)


def blocks(frames: int) -> list[range]:
    """At most ``BLOCKS`` runs of consecutive positions that together are ``range(frames)``, equal within
    one."""
    count = min(frames, BLOCKS)
    edges = [frames * block // count for block in range(count + 1)] if count else []
    return [range(low, high) for low, high in pairwise(edges)]


def change_point(quality: Sequence[tuple[float, float]], least: int = 4) -> float | None:
    """When a series (time, value) fell: the time that splits it into a higher part and a lower one best.

    The split maximises the sum of squares that two means explain more than one does. At least ``least``
    values lie on each side. None if there are too few values or they did not fall.
    """
    values = [value for _, value in quality]
    best, found = 0.0, None
    for place in range(least, len(values) - least + 1):
        before, after = values[:place], values[place:]
        gap = math.fsum(before) / len(before) - math.fsum(after) / len(after)
        explained = gap * abs(gap) * len(before) * len(after)
        if explained > best:
            best, found = explained, quality[place][0]
    return found


def _jackknife_error(replicates: Sequence[float]) -> float | None:
    """The delete-a-group jackknife's standard error (Shao and Tu, 1995); None below two replicates."""
    count = len(replicates)
    if count < 2:
        return None
    mean = math.fsum(replicates) / count
    return math.sqrt((count - 1) / count * math.fsum((each - mean) ** 2 for each in replicates))


def _t_quantile(freedom: float, confidence: float) -> float:
    from scipy.special import ndtri, stdtrit  # here, because it is slow to import and seldom needed

    return float(ndtri(confidence) if math.isinf(freedom) else stdtrit(freedom, confidence))
