"""The labels of a fixed camera's pictures from the town's geometry alone: nothing is rendered. Pure.

Movers go around rings, so a camera can only ever see them at certain places of certain rings. These places
are found once for each camera, with the box that each kind of mover has there and the part of it that houses
and trees leave open. A picture's labels are then a look-up that takes some tens of microseconds.

They differ from those that ``boxes.labels_of`` finds in a rendered picture: a box is always the whole
object's, places are exact to ``STEP_M``, and an object that reaches behind the camera is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

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
class Tracks:
    """The places at which a town's movers can be, the same for all cameras.

    A track is a ring with its places for one kind of mover; a parked car has a track of one place. Places of
    all tracks are numbered one after the other, (P,) each.
    """

    poses: Poses
    kinds: I64
    track: I64
    """The number of the place's track."""
    first: I64
    """By track (T,): its first place. One more entry ends the last one."""
    of_mover: I64
    """By mover: its track."""
    length_m: F64
    """By mover: the length of its track."""


def tracks_of(layout: Layout) -> Tracks:
    """The tracks of a town's movers."""
    movers = layout.movers
    of_mover = np.zeros(len(movers), np.int64)
    length_m = np.full(len(movers), STEP_M)
    numbers: dict[tuple[int, int], int] = {}
    poses: list[Poses] = []
    kinds: list[int] = []
    for mover, key in enumerate(zip(movers.ring.tolist(), movers.kinds.tolist(), strict=True)):
        ring, kind = key
        if ring < 0:
            of_mover[mover] = len(poses)
            poses.append(Poses(*movers.still[mover, :, None]))
            kinds.append(kind)
            continue
        if key not in numbers:
            numbers[key] = len(poses)
            poses.append(_places(layout.rings[ring]))
            kinds.append(kind)
        of_mover[mover] = numbers[key]
        length_m[mover] = layout.rings[ring].length_m
    counts = [len(each.x) for each in poses]
    track = np.repeat(np.arange(len(poses)), counts)
    return Tracks(
        poses=Poses(
            *(np.concatenate([np.zeros(0), *map(attrgetter(name), poses)]) for name in ("x", "y", "heading"))
        ),
        kinds=np.array(kinds, np.int64)[track],
        track=track,
        first=np.cumsum([0, *counts]),
        of_mover=of_mover,
        length_m=length_m,
    )


def _places(ring: Ring) -> Poses:
    along_m = (np.arange(math.ceil(ring.length_m / STEP_M), dtype=np.float64) + 0.5) * STEP_M
    return Poses(*along_rings(np.broadcast_to(ring.numbers(), (len(along_m), 6)), along_m))


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """The traffic that one camera can see.

    The sights are all places at which an object of some kind can be seen, nearest first; (S, ...) each.
    """

    boxes: npt.NDArray[np.float32]
    """(S, 4) as x1, y1, x2, y2 in pixels."""
    kinds: I64
    open: F64
    """The part of the whole box that is the object's and that houses and trees leave visible."""
    away_m: F64
    sight_at: I64
    """By place: the number of the sight there, or -1. Only of tracks that have a sight, one after another."""

    # of each mover on these tracks, (M,)
    start_m: F64
    speed_mps: F64
    length_m: F64
    """Of its track."""
    first: I64
    """Its track's first place in ``sight_at``, and the last one."""
    last: I64

    def labels(self, t: float, haze_per_m: float = 0.0) -> Labels:
        """The labels of the picture at emulated second ``t`` in haze of this extinction, nearest first."""
        along_m = np.mod(self.start_m + self.speed_mps * t, self.length_m)
        # rounding can make the remainder as long as the track
        places = np.minimum(self.first + (along_m * (1 / STEP_M)).astype(np.int64), self.last)
        sights = self.sight_at[places]
        sights = np.sort(sights[sights >= 0])
        visible = self.open[sights] * _not_covered(self.boxes[sights], _FILL[self.kinds[sights]])
        sights = sights[(visible >= MIN_SHARE) & (self.away_m[sights] <= farthest_m(haze_per_m))]
        return Labels(self.boxes[sights], CLASSES_OF_KINDS[self.kinds[sights]])


def outlook(layout: Layout, tracks: Tracks, view: Viewpoint, size: tuple[int, int]) -> Outlook:
    """The traffic that a camera can see in pictures of this size (width, height in pixels)."""
    seen = _near_the_picture(view, size, tracks.poses)
    boxes, ahead = whole_boxes(view, size, tracks.kinds[seen], tracks.poses.of(seen))
    boxes = np.rint(boxes)  # as the boxes of pixels are
    large = ahead & large_enough(boxes)
    seen, boxes = seen[large], boxes[large]
    kinds, poses = tracks.kinds[seen], tracks.poses.of(seen)
    share = _FILL[kinds] * _open_share(layout, view, kinds, poses)
    away_m = distances(view, poses)
    order = np.argsort(away_m, kind="stable")
    order = order[share[order] >= MIN_SHARE]

    seen, track = seen[order], tracks.track[seen[order]]
    used = np.unique(track)
    counts = tracks.first[used + 1] - tracks.first[used]
    starts = np.zeros(len(tracks.first), np.int64)
    starts[used] = np.cumsum(counts) - counts
    sight_at = np.full(counts.sum(), -1, np.int64)
    sight_at[starts[track] + seen - tracks.first[track]] = np.arange(len(seen))
    coming = np.flatnonzero(np.isin(tracks.of_mover, used))
    theirs = tracks.of_mover[coming]
    return Outlook(
        boxes=boxes[order].astype(np.float32),
        kinds=kinds[order],
        open=share[order],
        away_m=away_m[order],
        sight_at=sight_at,
        start_m=layout.movers.start_m[coming],
        speed_mps=layout.movers.speed_mps[coming],
        length_m=tracks.length_m[coming],
        first=starts[theirs],
        last=starts[theirs] + tracks.first[theirs + 1] - tracks.first[theirs] - 1,
    )


def _near_the_picture(view: Viewpoint, size: tuple[int, int], poses: Poses) -> I64:
    """The numbers of the places whose objects may reach into the picture and be large enough for a label."""
    reach_m = min(FAR_M, focal_px(view, size[0]) * _EXTENTS.max() / MIN_SHORT_PX)
    x, y = poses.x - view.at[0], poses.y - view.at[1]
    near = np.flatnonzero(x * x + y * y <= reach_m**2)
    points = np.stack([poses.x[near], poses.y[near], np.zeros(len(near))], axis=-1)
    pixels, depth = project(view, size, points)
    margin = focal_px(view, size[0]) * _EXTENTS.max() / np.maximum(depth, 1e-6)
    inside = (pixels >= -margin[:, None]) & (pixels <= np.array(size) + margin[:, None])
    return np.asarray(near[(depth > 0) & inside.all(axis=1)])


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
