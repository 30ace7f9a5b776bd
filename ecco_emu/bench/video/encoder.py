"""Codes a sequence of pictures for given targets, and measures the segments."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecco_emu.core.frames import Image
from ecco_emu.video.codec import EncodedSegment
from ecco_emu.video.decoder import decode
from ecco_emu.video.encoder import SegmentEncoder
from ecco_emu.video.rate_model import CRF_MAX, CRF_MIN

WARM_UP = 3
"""Segments in which the rate model learns the pictures. Their errors do not count."""
MUCH_OVER = 0.15
"""An error from which two segments running are counted: they make a queue that the next cannot drain."""


@dataclass(frozen=True, slots=True)
class CodedStream:
    """The figures of a stream of one-second segments. Errors are relative to the target; they are of the
    segments after the first ``WARM_UP`` that the quantiser's range allows to meet it."""

    width: int
    height: int
    fps: int
    target_kbps: int | None
    """None: the target changes from segment to segment."""
    got_kbps: float
    """The mean rate."""
    median_error: float | None
    """Of the errors' magnitudes; None if there are no errors to count."""
    worst_error: float | None
    over_15_twice: int
    """How often two segments running were more than 15 % over their targets, the first segments included."""
    at_floor: int
    """Segments that even the coarsest quantiser left over the target. They are not in the errors."""
    at_ceiling: int
    """Segments that even the finest quantiser left under the target. They are not in the errors."""
    attempts: float
    """The mean number of codings of a segment."""
    ms_per_frame: float
    """CPU time of the encoding thread, every coding included."""
    psnr_db: float
    """The mean over segments."""


def psnr_db(before: Sequence[Image], after: Sequence[Image]) -> float:
    """Peak signal-to-noise ratio over all pixels of all pictures."""
    difference = np.asarray(before, np.float64) - np.asarray(after, np.float64)
    return float(10 * np.log10(255**2 / max(float(np.mean(difference**2)), 1e-9)))


def measure(pictures: Sequence[Image], fps: int, targets_kbps: Sequence[int]) -> CodedStream:
    """Codes one segment of a second for each target. ``pictures``: at least ``fps`` for each segment."""
    height, width, _ = pictures[0].shape
    encoder = SegmentEncoder(width, height, fps)
    segments, quality = [], []
    spent_s = 0.0
    for number, kbps in enumerate(targets_kbps):
        images = pictures[number * fps : (number + 1) * fps]
        begun = time.thread_time()
        coded = encoder.encode(images, kbps * 1000)
        spent_s += time.thread_time() - begun
        segments.append(coded)
        quality.append(psnr_db(images, decode(coded.data, fps, width, height)))
    errors = [one.bits / (kbps * 1000) - 1 for one, kbps in zip(segments, targets_kbps, strict=True)]
    floor, ceiling, met = _stuck(segments, errors)
    late = [abs(errors[number]) for number in met if number >= WARM_UP]
    over = {number for number in met if errors[number] > MUCH_OVER}
    return CodedStream(
        width,
        height,
        fps,
        target_kbps=targets_kbps[0] if len(set(targets_kbps)) == 1 else None,
        got_kbps=statistics.mean(one.bits / 1000 for one in segments),
        median_error=statistics.median(late) if late else None,
        worst_error=max(late, default=None),
        over_15_twice=sum(number + 1 in over for number in over),
        at_floor=floor,
        at_ceiling=ceiling,
        attempts=statistics.mean(one.attempts for one in segments),
        ms_per_frame=spent_s * 1000 / len(pictures),
        psnr_db=statistics.mean(quality),
    )


def _stuck(segments: Sequence[EncodedSegment], errors: Sequence[float]) -> tuple[int, int, list[int]]:
    """Numbers of segments that ended at the coarsest and at the finest quantiser and missed the target, and
    the indices of all others."""
    floor = [n for n, one in enumerate(segments) if one.crf >= CRF_MAX and errors[n] > 0.04]
    ceiling = [n for n, one in enumerate(segments) if one.crf <= CRF_MIN and errors[n] < -0.1]
    stuck = {*floor, *ceiling}
    return len(floor), len(ceiling), [n for n in range(len(segments)) if n not in stuck]
