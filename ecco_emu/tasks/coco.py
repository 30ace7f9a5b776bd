"""COCO's average precision in its two halves: match each frame once, take the precision of any set of them.

A library does both at once, on a data set of dictionaries. Here a frame is matched once, whatever is measured
with it later, and all replicates of an estimate are taken together: a hundred cameras measure thousands of
frames in a window. Tests hold that the figures are those of faster-coco-eval.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""IoU from which a detection counts as an object, one after the other."""
_RECALLS = np.linspace(0.0, 1.0, 101)
_MOST = 100
"""Detections of a class in a frame beyond the best hundred are not counted: COCO's own limit."""

Boxes = npt.NDArray[np.float32]
Classes = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The detections of a frame, surest first, and which of them are true."""

    scores: Scores
    classes: Classes
    hits: npt.NDArray[np.bool_]
    """(10, N): at each of ``THRESHOLDS``."""
    objects: npt.NDArray[np.int64]
    """True objects by class."""


def match(
    true_boxes: Boxes, true_classes: Classes, boxes: Boxes, classes: Classes, scores: Scores, of: int
) -> Matches:
    """A frame's matches. Boxes are (N, 4) as x1, y1, x2, y2; classes are numbered from 0, ``of`` in all.

    At every threshold each detection, surest first, takes the free object of its class that it overlaps most.
    """
    order = _counted(np.argsort(-scores, kind="stable"), classes)
    boxes, classes, scores = boxes[order], classes[order], scores[order]
    objects = np.bincount(true_classes, minlength=of)
    if not len(true_classes) or not len(classes):
        return Matches(scores, classes, np.zeros((len(THRESHOLDS), len(classes)), np.bool_), objects)
    overlaps = _overlaps(boxes, true_boxes)
    overlaps[classes[:, None] != true_classes] = 0.0
    if (overlaps >= THRESHOLDS[0]).sum(axis=0).max() <= 1:  # no two detections want one object
        return Matches(scores, classes, overlaps.max(axis=1) >= THRESHOLDS[:, None], objects)
    hits = np.zeros((len(THRESHOLDS), len(classes)), np.bool_)
    wanted = _wanted(overlaps)
    for level, threshold in zip(hits, THRESHOLDS.tolist(), strict=True):
        taken: set[int] = set()
        for detection, found in wanted:
            for overlap, which in found:
                if overlap < threshold:
                    break
                if which not in taken:
                    taken.add(which)
                    level[detection] = True
                    break
    return Matches(scores, classes, hits, objects)


def average_precision(frames: Sequence[Matches], kept: npt.NDArray[np.bool_]) -> Floats:
    """The average precision over each of several sets of frames: (sets, classes, thresholds).

    ``kept`` is (sets, frames). NaN for a class that has no object in a set.
    """
    of = len(frames[0].objects)
    scores = np.concatenate([frame.scores for frame in frames])
    classes = np.concatenate([frame.classes for frame in frames])
    hits = np.concatenate([frame.hits for frame in frames], axis=1)
    frame_of = np.repeat(np.arange(len(frames)), [len(frame.scores) for frame in frames])
    objects = kept.astype(np.int64) @ np.stack([frame.objects for frame in frames])
    order = np.argsort(-scores, kind="stable")
    table = np.full((len(kept), of, len(THRESHOLDS)), np.nan)
    for cls in range(of):
        own = order[classes[order] == cls]
        counts = objects[:, cls]
        found = _of_class(hits[:, own], kept[:, frame_of[own]], counts)
        table[:, cls] = np.where(counts[:, None] > 0, found, np.nan)
    return table


def _of_class(
    hits: npt.NDArray[np.bool_], kept: npt.NDArray[np.bool_], objects: npt.NDArray[np.int64]
) -> Floats:
    """The average precision of a class over sets of frames: (sets, thresholds).

    ``hits`` is (thresholds, detections), surest first; ``kept``, (sets, detections), says which of them are
    in a set; ``objects``, (sets,), counts the true ones.
    """
    some = np.flatnonzero(hits.any(axis=0))  # a false detection has no higher precision than the one before
    sets, levels, count = len(kept), len(hits), len(some)
    if not count:
        return np.zeros((sets, levels))
    true = np.cumsum(kept[:, None, some] & hits[:, some], axis=2, dtype=np.int32)
    reported = np.maximum(np.cumsum(kept, axis=1, dtype=np.int32)[:, some], 1)
    precision = true / reported[:, None]
    # the best precision at this recall or a higher one
    best = np.maximum.accumulate(precision[:, :, ::-1], axis=2)
    # by the number of true detections; where several places have it the first, written last, counts
    by_true = np.zeros((sets * levels, int(objects.max(initial=0)) + 2))
    rows = np.arange(sets * levels)[:, None]
    by_true[rows, true.reshape(sets * levels, count)[:, ::-1]] = best.reshape(sets * levels, count)
    by_true[:, 0] = best[:, :, -1].reshape(-1)
    needed = np.repeat(np.stack([_needed(int(each)) for each in objects]), levels, axis=0)
    return np.asarray(np.take_along_axis(by_true, needed, axis=1).mean(axis=1).reshape(sets, levels))


@functools.lru_cache(maxsize=4096)
def _needed(objects: int) -> npt.NDArray[np.int64]:
    """How many of so many objects must be found for each of COCO's recalls."""
    if not objects:
        return np.zeros(len(_RECALLS), np.int64)
    return np.searchsorted(np.arange(objects + 1) / objects, _RECALLS, side="left")


def _counted(order: npt.NDArray[np.int64], classes: Classes) -> npt.NDArray[np.int64]:
    """The positions in ``order`` without those of a class beyond its best hundred."""
    if len(order) <= _MOST:
        return order
    ranks = np.empty(len(order), np.int64)
    for cls in np.unique(classes):
        own = classes[order] == cls
        ranks[own] = np.arange(own.sum())
    return order[ranks < _MOST]


def _wanted(overlaps: Floats) -> list[tuple[int, list[tuple[float, int]]]]:
    """Detections in order, each with the objects that it may be, by overlap; of equal ones the last first, as
    COCO does."""
    found: dict[int, list[tuple[float, int]]] = {}
    detections, objects = np.nonzero(overlaps >= THRESHOLDS[0])
    near = overlaps[detections, objects]
    for detection, which, overlap in zip(detections.tolist(), objects.tolist(), near.tolist(), strict=True):
        found.setdefault(detection, []).append((overlap, which))
    return [(detection, sorted(each, reverse=True)) for detection, each in found.items()]


def _overlaps(first: Boxes, second: Boxes) -> Floats:
    """IoU of every box of ``first`` (N, 4) with every one of ``second`` (M, 4), as (N, M)."""
    one, other = first.astype(np.float64)[:, None], second.astype(np.float64)[None]
    sides = np.maximum(np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2]), 0)
    shared = sides[..., 0] * sides[..., 1]
    areas = [(each[..., 2] - each[..., 0]) * (each[..., 3] - each[..., 1]) for each in (one, other)]
    return np.asarray(shared / np.maximum(areas[0] + areas[1] - shared, 1e-9))
