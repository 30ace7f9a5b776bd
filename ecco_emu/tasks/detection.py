"""Object detection: its classes, labels and detections, and the accuracy of one against the other.

Accuracy is COCO's mAP (``tasks.coco``). Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecco_emu.control.evidence import Estimate, blocks
from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId
from ecco_emu.tasks import coco

CLASSES: tuple[str, ...] = ("car", "truck", "pedestrian")
"""Detection classes, in the order of a student's outputs. Labels and detections hold their indices."""

COCO_CLASSES: Mapping[str, int] = {
    "car": CLASSES.index("car"),
    "truck": CLASSES.index("truck"),
    "person": CLASSES.index("pedestrian"),
}
"""The same classes by their names in COCO, for models trained on COCO. Its other classes become no labels."""

MAX_DETECTIONS = 100
"""Detections of an image beyond the best hundred are not counted, as in COCO."""

SURE = 0.25
"""Least confidence of the detections that a frame's F1 counts: the threshold at which Ultralytics shows a
detection by default, so F1 tells of the boxes that a user of the camera would be shown."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The true objects of a frame: boxes in pixels of that frame.

    ``boxes`` is (N, 4) float32 as x1, y1, x2, y2; ``classes`` is (N,) int64 into ``CLASSES``.
    """

    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.classes)

    def names(self) -> list[str]:
        """The class name of every object, in order."""
        return [CLASSES[number] for number in self.classes.tolist()]

    def scaled(self, factor_x: float, factor_y: float) -> Labels:
        """The same labels for the frame resized by these factors."""
        scale = np.array([factor_x, factor_y, factor_x, factor_y], dtype=np.float32)
        return Labels(self.boxes * scale, self.classes)

    @staticmethod
    def empty() -> Labels:
        return Labels(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The objects that a detector found in a picture, in the picture's pixels.

    ``boxes`` is (N, 4) float32 as x1, y1, x2, y2; ``scores`` is (N,) float32, confidences in 0..1;
    ``classes`` is (N,) int64 into ``CLASSES``.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A frame with the teacher's labels, ready to train on or to evaluate with.

    ``index`` counts the camera's frame clock, ``t`` is the emulated second of capture, ``image`` is
    (height, width, 3) RGB uint8, and the labels' boxes are in its pixels.
    """

    camera: CameraId
    index: int
    t: float
    image: Image
    labels: Labels


@dataclass(frozen=True, slots=True)
class DetectionAccuracy:
    """mAP at IoU 0.50:0.95 (``map``) and at 0.5 (``map50``), over ``objects`` true objects.

    Averages run over the classes that occur in the truth. Without any true object both are 0.0 and
    ``objects`` is 0, so that a caller can tell "nothing was there" from "nothing was found".
    """

    map: float
    map50: float
    objects: int


@dataclass(frozen=True, slots=True, eq=False)
class FrameMatches:
    """How a frame's detections match its true objects: all of a frame that an accuracy is made from.

    It is made once a frame, and any set of frames then has its mAP without matching anew.
    """

    objects: int
    f1: float | None
    """At IoU 0.5, of the detections that are ``SURE``; None for a frame without objects."""
    matches: coco.Matches


def match_frames(truth: Sequence[Labels], found: Sequence[Detections]) -> list[FrameMatches]:
    """Matches ``found`` (one per image) with ``truth`` (one per image, same order).

    Boxes of one image must be in the same pixels. Raises ``ValueError`` if the lengths differ.
    """
    if len(truth) != len(found):
        raise ValueError(f"{len(truth)} images have labels but {len(found)} have detections")
    return [_matched(labels, seen) for labels, seen in zip(truth, found, strict=True)]


def accuracy_over(frames: Sequence[FrameMatches]) -> DetectionAccuracy:
    """mAP over all these frames together."""
    return _accuracies(frames, [range(0)])[0]


def estimate(frames: Sequence[FrameMatches], times: Sequence[float]) -> Estimate | None:
    """The mAP over frames in order of time, captured at ``times``, with its replicates.

    None when no frame has an object: that says nothing of a model. A class that occurs in one block of frames
    alone is not averaged in the replicate without that block. When *all* objects are in one block, the
    replicate without it does not exist; then there are none, for the spread of the others would be too small.
    """
    whole, *replicates = _accuracies(frames, [range(0), *blocks(len(frames))])
    if whole.objects == 0:
        return None
    complete = len(replicates) > 1 and all(each.objects for each in replicates)
    return Estimate(
        whole.map,
        len(frames),
        tuple(each.map for each in replicates) if complete else (),
        tuple((t, frame.f1) for t, frame in zip(times, frames, strict=True) if frame.f1 is not None),
    )


def mean_average_precision(truth: Sequence[Labels], found: Sequence[Detections]) -> DetectionAccuracy:
    """mAP of ``found`` (one per image) against ``truth`` (one per image, same order).

    Boxes of one image must be in the same pixels. Raises ``ValueError`` if the lengths differ.
    """
    return accuracy_over(match_frames(truth, found))


def _matched(truth: Labels, found: Detections) -> FrameMatches:
    matches = coco.match(truth.boxes, truth.classes, found.boxes, found.classes, found.scores, len(CLASSES))
    if not len(truth):
        return FrameMatches(0, None, matches)
    sure = matches.scores >= SURE
    hits = int((matches.hits[0] & sure).sum())
    f1 = 2 * hits / (int(sure.sum()) + len(truth))
    return FrameMatches(len(truth), f1, matches)


def _accuracies(frames: Sequence[FrameMatches], left_out: Sequence[range]) -> list[DetectionAccuracy]:
    """The accuracy over all frames but those at the positions that are left out, for each such range."""
    if not frames:
        return [DetectionAccuracy(0.0, 0.0, 0)] * len(left_out)
    kept = np.ones((len(left_out), len(frames)), np.bool_)
    for row, part in zip(kept, left_out, strict=True):
        row[part.start : part.stop] = False
    precision = coco.average_precision([frame.matches for frame in frames], kept)
    occurs = ~np.isnan(precision[:, :, 0])
    classes = np.maximum(occurs.sum(axis=1), 1)
    means = np.where(occurs[:, :, None], precision, 0.0).sum(axis=1) / classes[:, None]
    objects = kept @ np.array([frame.objects for frame in frames])
    return [
        DetectionAccuracy(value, at_half, count)
        for value, at_half, count in zip(
            means.mean(axis=1).tolist(), means[:, 0].tolist(), objects.tolist(), strict=True
        )
    ]
