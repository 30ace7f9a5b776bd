"""Labelled frames on the server: every camera's newest, a part of them only for evaluation. Pure."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecco_emu.control.evidence import Evidence
from ecco_emu.core.ids import CameraId
from ecco_emu.tasks.detection import Sample

PER_CAMERA = 400
"""Samples kept of one camera; the oldest are dropped first."""
MOST_HELD_OUT = 0.5
"""A slow camera has no larger part of its samples held out: training needs the rest."""
HALF_LIFE = 60.0
"""A sample this many samples older than the newest is drawn half as often."""
MAX_BYTES = 1 << 30
"""Bytes of pixels kept of all cameras together. Beyond it the camera with most samples loses its oldest."""


@dataclass(frozen=True, slots=True)
class _Kept:
    sample: Sample
    held_out: bool


class SampleStore:
    """The samples of all cameras, bounded in number and bytes; a camera's are in order of frame index.

    A frame that is here already is not stored again: requests and segments may carry the same frame.
    """

    def __init__(
        self,
        *,
        held_out: float = 0.25,
        held_out_frames: int = 8,
        held_out_span_s: float = 20.0,
        per_camera: int = PER_CAMERA,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """The three that begin with ``held_out`` are explained in ``backend.Settings``."""
        self._least_share = held_out
        self._frames = held_out_frames
        self._span_s = held_out_span_s
        self._per_camera = per_camera
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: dict[CameraId, list[_Kept]] = {}
        self._owed: dict[CameraId, float] = {}
        """By camera, the held-out samples that its share owes to evaluation so far: a fraction of one."""

    def add(self, samples: Sequence[Sample]) -> None:
        """Keeps samples, in any order."""
        for sample in samples:
            self._add(sample)

    def forget(self, camera: CameraId, before: float = math.inf) -> None:
        """Drops the camera's samples that were captured before this emulated second."""
        kept = self._kept.get(camera, [])
        old = [each for each in kept if each.sample.t < before]
        self._bytes -= sum(each.sample.image.nbytes for each in old)
        kept[:] = [each for each in kept if each.sample.t >= before]
        if not kept:  # nothing is left of a camera that is gone
            self._kept.pop(camera, None)
            self._owed.pop(camera, None)

    def count(self, camera: CameraId) -> int:
        """Samples kept of a camera, held out or not."""
        return len(self._kept.get(camera, ()))

    def training(self, camera: CameraId, since: float = -math.inf) -> list[Sample]:
        """The camera's samples to train on, oldest first: those not held out, captured since ``since``."""
        return [kept.sample for kept in self._since(camera, since) if not kept.held_out]

    def evaluation(self, camera: CameraId, frames: int, since: float = -math.inf) -> list[Sample]:
        """The camera's newest ``frames`` held-out samples captured at ``since`` or later, oldest first.

        While fewer than half as many are held out, the newest of all its samples since then stand in, because
        a retraining request must be measured on the few frames that it brings.
        """
        kept = self._since(camera, since)
        held_out = [each for each in kept if each.held_out]
        usable = held_out if 2 * len(held_out) >= frames else kept
        return [each.sample for each in usable[-frames:]]

    def draw(self, evidence: Sequence[Evidence], count: int, random: np.random.Generator) -> list[Sample]:
        """``count`` training samples, an equal number of each camera, newer ones more often.

        None is older than its camera's evidence. Weights halve every ``HALF_LIFE`` samples of age. No sample
        comes twice unless its camera has too few. Empty if no camera has any.
        """
        pools = [pool for each in evidence if (pool := self.training(each.camera, each.since))]
        if not pools:
            return []
        # in random order, so that the remainder of the division goes to other cameras each time
        order = random.permutation(len(pools))
        drawn: list[Sample] = []
        for place, index in enumerate(order):
            share = count // len(pools) + (place < count % len(pools))
            drawn += _draw_recent(pools[index], share, random)
        return drawn

    def _since(self, camera: CameraId, since: float) -> list[_Kept]:
        return [kept for kept in self._kept.get(camera, ()) if kept.sample.t >= since]

    def _add(self, sample: Sample) -> None:
        kept = self._kept.setdefault(sample.camera, [])
        place = bisect.bisect_left(kept, sample.index, key=lambda each: each.sample.index)
        if place < len(kept) and kept[place].sample.index == sample.index:
            return
        kept.insert(place, _Kept(sample, self._is_held_out(sample)))
        self._bytes += sample.image.nbytes
        if len(kept) > self._per_camera:
            self._drop_oldest(sample.camera)
        while self._bytes > self._max_bytes:
            self._drop_oldest(max(self._kept, key=lambda camera: len(self._kept[camera])))

    def _is_held_out(self, sample: Sample) -> bool:
        """Whether an arriving sample is: each adds its camera's share, and whenever that makes one it is due.

        Counted by arrival, not by index: a camera that sends every fourth frame would have all or none held
        out.
        """
        owed = self._owed.get(sample.camera, 0.0) + self._share(sample)
        due = owed >= 1.0 - 1e-9  # shares are fractions, whose sums are rounded
        self._owed[sample.camera] = owed - due
        return due

    def _share(self, sample: Sample) -> float:
        """The part of its samples that this sample's camera has held out at the rate at which they come."""
        times = [each.sample.t for each in self._kept[sample.camera]] + [sample.t]
        recent = [t for t in times if t > max(times) - self._span_s]
        if len(times) == 1:
            return self._least_share  # the first sample says nothing of a rate
        if len(recent) == 1:
            return MOST_HELD_OUT  # slower than one in the span
        gap_s = max((max(recent) - min(recent)) / (len(recent) - 1), 1e-9)
        return min(max(self._least_share, self._frames * gap_s / self._span_s), MOST_HELD_OUT)

    def _drop_oldest(self, camera: CameraId) -> None:
        self._bytes -= self._kept[camera].pop(0).sample.image.nbytes


def _draw_recent(pool: list[Sample], count: int, random: np.random.Generator) -> list[Sample]:
    weights = 0.5 ** (np.arange(len(pool))[::-1] / HALF_LIFE)
    chosen = random.choice(len(pool), size=count, replace=count > len(pool), p=weights / weights.sum())
    return [pool[index] for index in chosen]
