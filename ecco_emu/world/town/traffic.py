"""The movers' ways through town: rings to go around, and each mover's place on its ring. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ecco_emu.scenario.sections.world import TownSection
from ecco_emu.world.town.arrays import F64
from ecco_emu.world.town.streets import KINDS, LANE_M, PALETTES, PAVEMENT_M, PEDESTRIAN, ROAD_HALF_M

PARKED_SHARE = 0.25
"""Of all cars, the share that stands at the kerb."""
_CAR_CORNER_M = 4.0
_OUTER_CORNER_M = 6.0
_WALK_CORNER_M = 0.8


@dataclass(frozen=True, slots=True)
class Ring:
    """A closed way around a rectangle with rounded corners, gone around in one direction.

    ``turn`` is -1 for right turns (clockwise seen from above) and +1 for left turns.
    """

    center: tuple[float, float]
    half_m: tuple[float, float]
    corner_m: float
    turn: Literal[-1, 1]

    @property
    def length_m(self) -> float:
        straight = 4 * (self.half_m[0] + self.half_m[1]) - 8 * self.corner_m
        return straight + 2 * math.pi * self.corner_m

    def numbers(self) -> F64:
        """The ring as a row for ``along_rings``: centre, half width, half depth, corner, turn."""
        return np.array([*self.center, *self.half_m, self.corner_m, self.turn], dtype=np.float64)


def along_rings(rings: F64, s: F64) -> tuple[F64, F64, F64]:
    """x, y and heading (radians, counter-clockwise from east) after ``s`` metres (N,) along rings (N, 6).

    A ring begins at the west end of its southern side. Each quarter is a straight and a corner. The quarters
    differ by a turn of 90 degrees, and the ring's two half extents change places.
    """
    cx, cy, half_x, half_y, r, turn = rings.T
    arc = math.pi / 2 * r
    width, depth = 2 * (half_x - r), 2 * (half_y - r)
    half_turn = width + depth + 2 * arc
    # The formulas are for left turns. A ring of right turns is the same way walked backwards.
    s = np.mod(s * turn, 2 * half_turn)
    # which half of the ring, and in it which of two quarters; ``s`` is then the way within the quarter
    second = s >= half_turn
    s = s - np.where(second, half_turn, 0.0)
    late = s >= width + arc
    s = s - np.where(late, width + arc, 0.0)
    straight = np.where(late, depth, width)
    base = np.where(second, math.pi, 0.0) + np.where(late, math.pi / 2, 0.0)
    # on the straight ``turned`` is 0, in the corner ``back`` is 0: no case needs an if
    turned = np.maximum(s - straight, 0.0) / r
    back = np.minimum(s - straight, 0.0)
    angle = base + turned
    sign = np.where(second, -1.0, 1.0)
    pivot_x = sign * (half_x - r)
    pivot_y = sign * np.where(late, half_y - r, r - half_y)
    x = cx + pivot_x + np.cos(base) * back + r * np.sin(angle)
    y = cy + pivot_y + np.sin(base) * back - r * np.cos(angle)
    return x, y, angle + np.where(turn < 0, math.pi, 0.0)


@dataclass(frozen=True, slots=True)
class Movers:
    """Everything that can be detected. One entry per object in every array.

    ``kinds`` are indices into ``KINDS``, ``looks`` choose colours. ``ring`` is an index into the layout's
    rings, or -1 for a parked car. ``start_m`` and ``speed_mps`` give the place along the ring, ``offset_m``
    the distance to its left; ``still`` holds x, y and heading of parked cars.
    """

    kinds: npt.NDArray[np.int64]
    looks: npt.NDArray[np.int64]
    ring: npt.NDArray[np.int64]
    start_m: F64
    speed_mps: F64
    offset_m: F64
    still: F64

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(frozen=True, slots=True)
class Poses:
    """Places of all movers: x and y in metres, heading in radians from east, (N,) each."""

    x: F64
    y: F64
    heading: F64

    def of(self, which: npt.NDArray[np.int64]) -> Poses:
        """The places of these movers alone."""
        return Poses(self.x[which], self.y[which], self.heading[which])


def rings_of(
    blocks: list[tuple[float, float, float, float]], lines: tuple[float, ...]
) -> tuple[list[Ring], list[Ring]]:
    """Traffic's rings and pedestrians' rings: one of each around every block and one around the town."""
    rings, walks = [], []
    kerb = ROAD_HALF_M + 0.73 * PAVEMENT_M
    for x0, y0, x1, y1 in blocks:
        center = ((x0 + x1) / 2, (y0 + y1) / 2)
        half = ((x1 - x0) / 2, (y1 - y0) / 2)
        rings.append(Ring(center, (half[0] - LANE_M, half[1] - LANE_M), _CAR_CORNER_M, -1))
        walks.append(Ring(center, (half[0] - kerb, half[1] - kerb), _WALK_CORNER_M, -1))
    reach = lines[-1]
    rings.append(Ring((0.0, 0.0), (reach + LANE_M, reach + LANE_M), _OUTER_CORNER_M, 1))
    walks.append(Ring((0.0, 0.0), (reach + kerb, reach + kerb), _WALK_CORNER_M, 1))
    return rings, walks


def spread_out(
    town: TownSection,
    lines: tuple[float, ...],
    rings: list[Ring],
    walks: list[Ring],
    streams: Callable[[str], np.random.Generator],
) -> Movers:
    """All movers of a town, spread over its rings and parking places.

    ``rings`` and ``walks`` are numbered one after the other. ``streams`` gives a random stream by name.
    """
    bays = _parking(lines)
    parked = min(round(town.cars * PARKED_SHARE), len(bays))
    rng = streams("traffic")
    vehicles = np.array([0] * (town.cars - parked) + [1] * town.trucks, dtype=np.int64)
    rng.shuffle(vehicles)
    ring, start, ring_speed = _spread(rings, len(vehicles), rng, jitter=0.3)
    speed = ring_speed[ring] if len(vehicles) else np.zeros(0)
    walk_rng = streams("pedestrians")
    walk, walk_start, _ = _spread(walks, town.pedestrians, walk_rng, jitter=0.9)
    direction = walk_rng.choice((-1.0, 1.0), town.pedestrians)
    walk_speed = walk_rng.uniform(0.9, 1.7, town.pedestrians) * direction
    # pedestrians who walk against the ring's direction keep to its other side
    walk_offset = direction * walk_rng.uniform(0.1, 0.45, town.pedestrians)
    still = streams("parked").permutation(len(bays))[:parked]
    counts = (len(vehicles), town.pedestrians, parked)
    kinds = np.concatenate((vehicles, np.full(counts[1], PEDESTRIAN), np.zeros(parked, np.int64)))
    looks_rng = streams("looks")
    return Movers(
        kinds=kinds.astype(np.int64),
        looks=(looks_rng.random(len(kinds)) * [PALETTES[KINDS[k]] for k in kinds]).astype(np.int64),
        ring=np.concatenate((ring, walk + len(rings), np.full(parked, -1))).astype(np.int64),
        start_m=np.concatenate((start, walk_start, np.zeros(parked))),
        speed_mps=np.concatenate((speed, walk_speed, np.zeros(parked))),
        offset_m=np.concatenate((np.zeros(counts[0]), walk_offset, np.zeros(parked))),
        still=np.concatenate((np.zeros((counts[0] + counts[1], 3)), bays[still].reshape(-1, 3))),
    )


def _spread(
    rings: list[Ring], count: int, rng: np.random.Generator, jitter: float
) -> tuple[npt.NDArray[np.int64], F64, F64]:
    """Shares ``count`` objects among the rings by length.

    Returns the ring (N,) and the start in metres (N,) of each object, and a speed in m/s for each ring.
    Objects of a ring are evenly spaced, then moved by up to ``jitter`` times half the gap. All vehicles of a
    ring drive equally fast, so none ever runs into another.
    """
    lengths = np.array([ring.length_m for ring in rings])
    ends = np.cumsum(lengths) / lengths.sum() * count
    ring = np.searchsorted(ends, np.arange(count) + 0.5).astype(np.int64)
    start = np.zeros(count)
    for index in range(len(rings)):
        on = np.flatnonzero(ring == index)
        if len(on) == 0:
            continue
        gap = lengths[index] / len(on)
        steps = np.arange(len(on)) + rng.uniform(0, 1) + rng.uniform(-jitter / 2, jitter / 2, len(on))
        start[on] = steps * gap
    return ring, start, rng.uniform(5.0, 9.0, len(rings))


def _parking(lines: tuple[float, ...]) -> F64:
    """Every parking place, (N, 3) as x, y, heading: half on the pavement, so that lanes stay free."""
    offset = ROAD_HALF_M + 0.45
    bays = []
    for road in lines:
        for a, b in itertools.pairwise(lines):
            for at in np.arange(a + 14.0, b - 13.0 + 1e-9, 6.5):
                bays.append((road + offset, at, math.pi / 2))
                bays.append((road - offset, at, -math.pi / 2))
                bays.append((at, road - offset, 0.0))
                bays.append((at, road + offset, math.pi))
    return np.array(bays, dtype=np.float64).reshape(-1, 3)
