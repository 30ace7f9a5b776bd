"""Lines of sight: which points of a town a house or a tree hides from an eye. Nothing is rendered. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ecco_emu.world.town.arrays import F64
from ecco_emu.world.town.layout import Building, Tree
from ecco_emu.world.town.views import NEAR_M

_AT_ONCE = 512
"""Points that are looked at together: neighbours in bearing, so that few obstacles are near them."""

Hidden = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


def hidden_by_buildings(eye: F64, points: F64, buildings: Sequence[Building]) -> Hidden:
    """Which of the points (N, 3) a building hides from the eye (3,), all in metres. A house around the eye,
    or with a wall right before it, hides nothing: walls are drawn from outside only, and not so near."""
    low = np.array([(*each.low, 0.0) for each in buildings]).reshape(-1, 3)
    high = np.array([(*each.high, each.height_m) for each in buildings]).reshape(-1, 3)
    outside = ~((low - NEAR_M <= eye) & (eye <= high + NEAR_M)).all(axis=1)
    low, high = low[outside], high[outside]
    hidden = np.zeros(len(points), bool)
    for some, near in _neighbours(eye, points, low, high):
        way = points[some] - eye
        way = np.where(np.abs(way) < 1e-9, 1e-9, way)
        # where the line of sight is inside a box, as parts of the way: the eye at 0, the point at 1
        enters, leaves = np.array(-math.inf), np.array(math.inf)
        for axis in range(3):  # one after the other: reducing over an axis of three is slow
            one = (low[near, axis] - eye[axis]) / way[:, axis, None]
            other = (high[near, axis] - eye[axis]) / way[:, axis, None]
            enters = np.maximum(enters, np.minimum(one, other))
            leaves = np.minimum(leaves, np.maximum(one, other))
        hidden[some] = ((enters < leaves) & (enters > 0) & (enters < 1)).any(axis=1)
    return hidden


def hidden_by_trees(eye: F64, points: F64, trees: Sequence[Tree]) -> Hidden:
    """Which of the points (N, 3) the crown of a tree hides from the eye. Crowns count as balls."""
    middle = np.array([(*each.at, each.height_m - each.radius_m) for each in trees]).reshape(-1, 3)
    radius = np.array([each.radius_m for each in trees])
    hidden = np.zeros(len(points), bool)
    for some, near in _neighbours(eye, points, middle - radius[:, None], middle + radius[:, None]):
        way, towards = points[some] - eye, middle[near] - eye
        length2, across = (way**2).sum(axis=1)[:, None], way @ towards.T
        # the part of the way at which it passes the middle nearest
        nearest = np.clip(across / np.maximum(length2, 1e-9), 0.0, 1.0)
        apart2 = (towards**2).sum(axis=1) - nearest * (2 * across - nearest * length2)
        hidden[some] = (apart2 < radius[near] ** 2).any(axis=1)
    return hidden


def _neighbours(eye: F64, points: F64, low: F64, high: F64) -> Iterator[tuple[Numbers, Numbers]]:
    """All points that a box may hide, some at a time: the numbers of the points and of the boxes."""
    if not len(points) or not len(low):
        return
    bearing = _turn((points - eye)[:, :2].mean(axis=0), (points - eye)[:, :2])
    order = np.argsort(bearing, kind="stable")
    for first in range(0, len(points), _AT_ONCE):
        some = order[first : first + _AT_ONCE]
        near = np.flatnonzero(_between(eye, points[some], low, high))
        if len(near):
            yield some, near


def _between(eye: F64, points: F64, low: F64, high: F64) -> Hidden:
    """Which boxes can hide a point: not those above all lines of sight, nor those beside them.

    Seen from above, the lines of sight fill a sector. A box whose circle is outside it is beside them.
    """
    least, most = np.minimum(points.min(axis=0), eye), np.maximum(points.max(axis=0), eye)
    near = ((low <= most) & (high >= least)).all(axis=1)
    ways = (points - eye)[:, :2]
    middle = ways.mean(axis=0)
    half = np.abs(_turn(middle, ways)).max()
    towards = (low[:, :2] + high[:, :2]) / 2 - eye[:2]
    radius = np.hypot(*(high - low)[:, :2].T) / 2
    away = np.hypot(*towards.T)
    beside = np.abs(_turn(middle, towards)) - np.arcsin(np.minimum(1.0, radius / np.maximum(away, radius)))
    return np.asarray(near & (beside <= half))


def _turn(one: F64, others: F64) -> F64:
    """The angle in radians by which each of the others (N, 2) is turned to the left of the one (2,)."""
    return np.asarray(np.arctan2(one[0] * others[:, 1] - one[1] * others[:, 0], others @ one))
