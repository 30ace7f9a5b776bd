"""Labelled frames on the server: every camera's newest, a part of them only for evaluation. Pure."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecco_emu.core.ids import CameraId
from ecco_emu.tasks.detection import Sample

PER_CAMERA = 400
"""Samples kept of one camera; the oldest are dropped first."""
HELD_OUT_EVERY = 4
"""Every fourth sample of a camera is for evaluation and never trained on."""
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
        per_camera: int = PER_CAMERA,
        held_out_every: int = HELD_OUT_EVERY,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._per_camera = per_camera
        self._held_out_every = held_out_every
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: dict[CameraId, list[_Kept]] = {}
        self._arrived: dict[CameraId, int] = {}

    def add(self, samples: Sequence[Sample]) -> None:
        """Keeps samples, in any order."""
        for sample in samples:
            self._add(sample)

    def count(self, camera: CameraId) -> int:
        """Samples kept of a camera, held out or not."""
        return len(self._kept.get(camera, ()))

    def training(self, camera: CameraId) -> list[Sample]:
        """The camera's samples to train on, oldest first: those not held out."""
        return [kept.sample for kept in self._kept.get(camera, ()) if not kept.held_out]

    def evaluation(self, camera: CameraId, frames: int) -> list[Sample]:
        """The camera's newest ``frames`` held-out samples, oldest first.

        While fewer than half as many are held out, the newest of all its samples stand in, because a
        retraining request must be measured on the few frames that it brings.
        """
        kept = self._kept.get(camera, [])
        held_out = [each for each in kept if each.held_out]
        usable = held_out if 2 * len(held_out) >= frames else kept
        return [each.sample for each in usable[-frames:]]

    def draw(self, cameras: Sequence[CameraId], count: int, random: np.random.Generator) -> list[Sample]:
        """``count`` training samples, an equal number of each camera, newer ones more often.

        Weights halve every ``HALF_LIFE`` samples of age. No sample comes twice unless its camera has too
        few. Empty if no camera has any.
        """
        pools = [pool for camera in cameras if (pool := self.training(camera))]
        if not pools:
            return []
        # in random order, so that the remainder of the division goes to other cameras each time
        order = random.permutation(len(pools))
        drawn: list[Sample] = []
        for place, index in enumerate(order):
            share = count // len(pools) + (place < count % len(pools))
            drawn += _draw_recent(pools[index], share, random)
        return drawn

    def _add(self, sample: Sample) -> None:
        kept = self._kept.setdefault(sample.camera, [])
        place = bisect.bisect_left(kept, sample.index, key=lambda each: each.sample.index)
        if place < len(kept) and kept[place].sample.index == sample.index:
            return
        # By arrival, not by index: a camera that sends every fourth frame would have all or none held out.
        arrived = self._arrived[sample.camera] = self._arrived.get(sample.camera, 0) + 1
        kept.insert(place, _Kept(sample, held_out=arrived % self._held_out_every == 0))
        self._bytes += sample.image.nbytes
        if len(kept) > self._per_camera:
            self._drop_oldest(sample.camera)
        while self._bytes > self._max_bytes:
            self._drop_oldest(max(self._kept, key=lambda camera: len(self._kept[camera])))

    def _drop_oldest(self, camera: CameraId) -> None:
        self._bytes -= self._kept[camera].pop(0).sample.image.nbytes


def _draw_recent(pool: list[Sample], count: int, random: np.random.Generator) -> list[Sample]:
    weights = 0.5 ** (np.arange(len(pool))[::-1] / HALF_LIFE)
    chosen = random.choice(len(pool), size=count, replace=count > len(pool), p=weights / weights.sum())
    return [pool[index] for index in chosen]
