"""The labels of a fixed camera's pictures from the town's geometry alone: nothing is rendered. Pure.

Movers go around rings, so a camera can only ever see them at certain places of certain rings. These places
are found once for each camera, with the box that each kind of mover has there and the part of it that houses
and trees leave open. A picture's labels are then a look-up that takes some tens of microseconds.

They differ from those that ``boxes.labels_of`` finds in a rendered picture: a box is always the whole
object's, places are exact to ``STEP_M``, and an object that reaches behind the camera is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from ecco_emu.tasks.detection import Labels
from ecco_emu.world.town.arrays import F64
from ecco_emu.world.town.boxes import (
    CLASSES_OF_KINDS,
    MIN_SHARE,
    MIN_SHORT_PX,
    distances,
    farthest_m,
    large_enough,
    whole_boxes,
)
from ecco_emu.world.town.layout import Layout
from ecco_emu.world.town.sight_lines import hidden_by_buildings, hidden_by_trees
from ecco_emu.world.town.streets import KINDS, SIZES, Kind
from ecco_emu.world.town.traffic import Poses, Ring, along_rings
from ecco_emu.world.town.views import FAR_M, Viewpoint, focal_px, project

STEP_M = 1.0
"""Between the places of a ring that are told apart."""

_FILLED: dict[Kind, float] = {"car": 0.7, "truck": 0.75, "pedestrian": 0.45}
_FILL = np.array([_FILLED[kind] for kind in KINDS])
"""The part of its box that an object fills, by the number of its kind."""
_EXTENTS = np.array([SIZES[kind] for kind in KINDS])
_POINTS = ((0.0, 0.15), (0.0, 0.5), (0.0, 0.85), (-0.4, 0.5), (0.4, 0.5))
"""Points that stand for an object behind an obstacle: along its length from the middle, and up its height, in
parts of these."""

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """The traffic that one camera can see.

    The sights are all places at which an object of some kind can be seen, nearest first; (S, ...) each.
    """

    boxes: npt.NDArray[np.float32]
    """(S, 4) as x1, y1, x2, y2 in pixels."""
    kinds: I64
    open: F64
    """The part of the whole box that houses and trees leave visible."""
    away_m: F64
    sight_at: I64
    """By place of a track, all tracks one after the other: the number of the sight there, or -1."""
    still: I64
    """The sights of parked cars."""

    # of each mover that can come into sight, (M,)
    start_m: F64
    speed_mps: F64
    length_m: F64
    """Of its ring."""
    first: I64
    """Its track's first place in ``sight_at``, and the last one."""
    last: I64

    def labels(self, t: float, haze_per_m: float = 0.0) -> Labels:
        """The labels of the picture at emulated second ``t`` in haze of this extinction, nearest first."""
        along_m = np.mod(self.start_m + self.speed_mps * t, self.length_m)
        # rounding can make the remainder as long as the ring
        places = np.minimum(self.first + (along_m * (1 / STEP_M)).astype(np.int64), self.last)
        sights = np.concatenate((self.sight_at[places], self.still))
        sights = np.sort(sights[sights >= 0])
        visible = self.open[sights] * _not_covered(self.boxes[sights], _FILL[self.kinds[sights]])
        sights = sights[(visible >= MIN_SHARE) & (self.away_m[sights] <= farthest_m(haze_per_m))]
        return Labels(self.boxes[sights], CLASSES_OF_KINDS[self.kinds[sights]])


def outlook(layout: Layout, view: Viewpoint, size: tuple[int, int]) -> Outlook:
    """The traffic that a camera can see in pictures of this size (width, height in pixels)."""
    movers = layout.movers
    tracks = _tracks(layout, view, size)
    parked = np.flatnonzero(movers.ring < 0)
    poses = _joined([*(track.poses for track in tracks.values()), Poses(*movers.still[parked].T)])
    kinds = np.concatenate(
        [*(np.full(len(track.poses.x), kind) for (_, kind), track in tracks.items()), movers.kinds[parked]]
    ).astype(np.int64)

    seen = _near_the_picture(view, size, poses)
    boxes, ahead = whole_boxes(view, size, kinds[seen], poses.of(seen))
    boxes = np.rint(boxes)  # as the boxes of pixels are
    large = ahead & large_enough(boxes)
    seen, boxes = seen[large], boxes[large]
    share = _FILL[kinds[seen]] * _open_share(layout, view, kinds[seen], poses.of(seen))
    away_m = distances(view, poses.of(seen))
    order = np.argsort(away_m, kind="stable")
    order = order[share[order] >= MIN_SHARE]
    seen = seen[order]
    sight_at = np.full(len(kinds), -1, np.int64)
    sight_at[seen] = np.arange(len(seen))

    keys = list(zip(movers.ring.tolist(), movers.kinds.tolist(), strict=True))
    coming = [
        number
        for number, key in enumerate(keys)
        if key in tracks and (sight_at[tracks[key].first : tracks[key].end] >= 0).any()
    ]
    return Outlook(
        boxes=boxes[order].astype(np.float32),
        kinds=kinds[seen],
        open=share[order],
        away_m=away_m[order],
        sight_at=sight_at,
        still=sight_at[len(kinds) - len(parked) :][sight_at[len(kinds) - len(parked) :] >= 0],
        start_m=movers.start_m[coming],
        speed_mps=movers.speed_mps[coming],
        length_m=np.array([layout.rings[keys[number][0]].length_m for number in coming]),
        first=np.array([tracks[keys[number]].first for number in coming], np.int64),
        last=np.array([tracks[keys[number]].end - 1 for number in coming], np.int64),
    )


@dataclass(frozen=True, slots=True)
class _Track:
    """The places of one ring, for one kind of mover, numbered from ``first`` among all tracks' places."""

    first: int
    poses: Poses

    @property
    def end(self) -> int:
        return self.first + len(self.poses.x)


def _tracks(layout: Layout, view: Viewpoint, size: tuple[int, int]) -> Mapping[tuple[int, int], _Track]:
    """By ring and kind: the tracks of all rings that come so near that an object can be large enough."""
    movers = layout.movers
    reach_m = min(FAR_M, focal_px(view, size[0]) * _EXTENTS.max() / MIN_SHORT_PX)
    tracks: dict[tuple[int, int], _Track] = {}
    first = 0
    for key in dict.fromkeys(zip(movers.ring.tolist(), movers.kinds.tolist(), strict=True)):
        if key[0] < 0 or _distance_m(layout.rings[key[0]], view.at) > reach_m:
            continue
        ring = layout.rings[key[0]]
        along_m = (np.arange(math.ceil(ring.length_m / STEP_M)) + 0.5) * STEP_M
        numbers = np.broadcast_to(ring.numbers(), (len(along_m), 6))
        tracks[key] = _Track(first, Poses(*along_rings(numbers, along_m)))
        first = tracks[key].end
    return tracks


def _distance_m(ring: Ring, at: tuple[float, float]) -> float:
    """From a point to the rectangle that a ring goes around; 0 inside it."""
    beyond = (abs(at[axis] - ring.center[axis]) - ring.half_m[axis] for axis in (0, 1))
    return math.hypot(*(max(0.0, each) for each in beyond))


def _near_the_picture(view: Viewpoint, size: tuple[int, int], poses: Poses) -> I64:
    """The numbers of the places whose objects may reach into the picture."""
    points = np.stack([poses.x, poses.y, np.zeros(len(poses.x))], axis=-1)
    pixels, depth = project(view, size, points)
    margin = focal_px(view, size[0]) * _EXTENTS.max() / np.maximum(depth, 1e-6)
    inside = (pixels >= -margin[:, None]) & (pixels <= np.array(size) + margin[:, None])
    return np.flatnonzero((depth > 0) & inside.all(axis=1))


def _joined(parts: list[Poses]) -> Poses:
    return Poses(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y", "heading")))


def _open_share(layout: Layout, view: Viewpoint, kinds: I64, poses: Poses) -> F64:
    """The part (N,) of each object that no house and no tree hides."""
    length_m, height_m = _EXTENTS[kinds, 0], _EXTENTS[kinds, 2]
    points = np.stack(
        [
            np.stack(
                [
                    poses.x + np.cos(poses.heading) * along * length_m,
                    poses.y + np.sin(poses.heading) * along * length_m,
                    up * height_m,
                ],
                axis=-1,
            )
            for along, up in _POINTS
        ]
    ).reshape(-1, 3)
    hidden = hidden_by_buildings(view.eye, points, layout.buildings)
    hidden |= hidden_by_trees(view.eye, points, layout.trees)
    return np.asarray(1.0 - hidden.reshape(len(_POINTS), -1).mean(axis=0))


def _not_covered(boxes: npt.NDArray[np.float32], fill: F64) -> F64:
    """The part (N,) of each object that those before it leave visible; boxes (N, 4) are nearest first, and
    each object fills a part of its own (N,)."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    sides = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - low
    shared = np.maximum(sides[..., 0], 0) * np.maximum(sides[..., 1], 0)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    covered = shared / areas[:, None] * fill * _nearer(len(boxes))
    return np.asarray(np.prod(1.0 - covered, axis=1))


@cache
def _nearer(count: int) -> npt.NDArray[np.bool_]:
    """1 where the object of the column is before that of the row."""
    return np.tri(count, k=-1, dtype=bool)
