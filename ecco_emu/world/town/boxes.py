"""From the id pass to labels: the exact box of the visible part of every object. Pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ecco_emu.tasks.detection import CLASSES, Labels
from ecco_emu.world.town.streets import KINDS, SIZES
from ecco_emu.world.town.traffic import Movers, Poses
from ecco_emu.world.town.views import Viewpoint, project

MIN_SHORT_PX = 4
"""A box whose shorter side is smaller is not labelled."""
MIN_LONG_PX = 8
"""Nor one whose longer side is smaller."""
MIN_SHARE = 0.2
"""Nor an object of which fewer pixels are visible than this share of its whole box's area in the picture.

A whole car fills some 0.7 of its box and a whole pedestrian some 0.45, so this drops objects that are hidden
to about two thirds or more.
"""
MIN_CONTRAST = 0.04
"""Nor an object to which haze leaves less than this share of its colours: nobody could see it."""

_EXTENTS = np.array([SIZES[kind] for kind in KINDS])
CLASSES_OF_KINDS = np.array([CLASSES.index(kind) for kind in KINDS])
"""The class of each kind of mover, by the kind's number."""
_UNIT_CORNERS = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)])


def visible_boxes(
    ids: npt.NDArray[np.int32], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The movers in an id pass (H, W): indices (N,) in order, boxes (N, 4) as x1, y1, x2, y2, pixels (N,).

    ``count`` is the number of movers in town: higher numbers are of objects that stand still.
    """
    ys, xs = np.nonzero((ids > 0) & (ids <= count))
    if len(ys) == 0:
        return np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    numbers = ids[ys, xs]
    # sorted by number, each mover's pixels are one run, and its box is the minimum and maximum over the run
    order = np.argsort(numbers, kind="stable")
    numbers, ys, xs = numbers[order], ys[order], xs[order]
    starts = np.flatnonzero(np.r_[True, numbers[1:] != numbers[:-1]])
    boxes = np.stack(
        [
            np.minimum.reduceat(xs, starts),
            np.minimum.reduceat(ys, starts),
            np.maximum.reduceat(xs, starts) + 1,
            np.maximum.reduceat(ys, starts) + 1,
        ],
        axis=1,
    ).astype(np.float32)
    pixels = np.diff(np.r_[starts, len(numbers)])
    return numbers[starts].astype(np.int64) - 1, boxes, pixels.astype(np.int64)


def whole_boxes(
    view: Viewpoint, size: tuple[int, int], kinds: npt.NDArray[np.int64], poses: Poses
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The box (N, 4) as x1, y1, x2, y2 that objects of these kinds (N,) would have in the picture if nothing
    stood before them, and whether each is wholly before the camera (N,): one that is not has no such box."""
    corners = _UNIT_CORNERS[None] * _EXTENTS[kinds][:, None]
    cos, sin = np.cos(poses.heading)[:, None], np.sin(poses.heading)[:, None]
    world = np.stack(
        [
            poses.x[:, None] + cos * corners[..., 0] - sin * corners[..., 1],
            poses.y[:, None] + sin * corners[..., 0] + cos * corners[..., 1],
            corners[..., 2],
        ],
        axis=-1,
    )
    pixels, depth = project(view, size, world.reshape(-1, 3))
    pixels = np.clip(pixels.reshape(len(kinds), 8, 2), 0, np.array(size, dtype=float))
    ahead: npt.NDArray[np.bool_] = np.all(depth.reshape(len(kinds), 8) > 0.1, axis=1)
    return np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1), ahead


def whole_areas(
    view: Viewpoint, size: tuple[int, int], movers: Movers, poses: Poses, which: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The area in px² (N,) that the box of each of ``which`` would have if nothing stood before it.

    0 for an object that reaches behind the camera, where no such box exists: it is never dropped as hidden.
    """
    if len(which) == 0:
        return np.zeros(0)
    boxes, ahead = whole_boxes(view, size, movers.kinds[which], poses.of(which))
    return np.asarray(np.where(ahead, (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 0.0))


def distances(view: Viewpoint, poses: Poses) -> npt.NDArray[np.float64]:
    """Metres from the camera to the foot of every mover, (N,)."""
    flat = (poses.x - view.at[0]) ** 2 + (poses.y - view.at[1]) ** 2
    return np.asarray(np.sqrt(flat + view.height_m**2))


def large_enough(boxes: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
    """Which boxes (N, 4) are large enough for a label, (N,)."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.asarray((sides.min(axis=1) >= MIN_SHORT_PX) & (sides.max(axis=1) >= MIN_LONG_PX))


def farthest_m(haze_per_m: float) -> float:
    """The distance up to which haze leaves enough of an object's colours for a label, in metres."""
    return -math.log(MIN_CONTRAST) / haze_per_m if haze_per_m > 0 else math.inf


def labels_of(
    ids: npt.NDArray[np.int32], view: Viewpoint, movers: Movers, poses: Poses, haze_per_m: float = 0.0
) -> Labels:
    """The labels of the picture whose id pass (H, W) this is, in the movers' order."""
    height, width = ids.shape
    which, boxes, pixels = visible_boxes(ids, len(movers))
    whole = whole_areas(view, (width, height), movers, poses, which)
    keep = large_enough(boxes) & (pixels >= MIN_SHARE * whole)
    keep &= distances(view, poses)[which] <= farthest_m(haze_per_m)
    return Labels(boxes[keep], CLASSES_OF_KINDS[movers.kinds[which[keep]]])
