"""The town as numbers: roads, buildings, trees, lamps, and where everyone is at time ``t``. Pure.

Roads form a grid whose lines do not depend on the seed: every ``PITCH_M`` metres, one through the
origin, so a person can place cameras without looking at a map. Traffic keeps right. Each block has
one ring of traffic around it, always turning right, and the outermost road has a second ring outside
it, always turning left: every lane is used and no two rings ever cross, so positions need no
simulation and are a plain function of time.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ecco_emu.core.frames import CLASSES
from ecco_emu.core.random_streams import stream
from ecco_emu.scenario import schema

Floats = npt.NDArray[np.float64]
Kind = Literal["car", "truck", "pedestrian"]

PITCH_M = 60.0
"""Distance between parallel roads."""
ROAD_HALF_M = 4.0
LANE_M = 2.0
"""Centre of a lane from the centre of its road."""
PAVEMENT_M = 2.6
"""Width of a pavement, outside the road's edge."""
CORRIDOR_HALF_M = ROAD_HALF_M + PAVEMENT_M
"""Nothing is built nearer to the centre of a road than this."""
EDGE_M = 12.0
"""From the outermost road's centre to the edge of town, at least."""

SIZES: dict[Kind, tuple[float, float, float]] = {
    "car": (4.3, 1.85, 1.55),
    "truck": (7.6, 2.4, 3.2),
    "pedestrian": (0.62, 0.66, 1.8),
}
"""Length (along the heading), width and height in metres."""

PALETTES: dict[Kind, int] = {"car": 9, "truck": 6, "pedestrian": 10}
"""How many looks each kind has."""

PARKED_SHARE = 0.25
"""Of the cars, how many stand at the kerb."""
_CAR_CORNER_M = 4.0
_OUTER_CORNER_M = 6.0
_WALK_CORNER_M = 0.8


@dataclass(frozen=True, slots=True)
class Building:
    """A box with its corners at ``low`` and ``high`` (x, y) metres."""

    low: tuple[float, float]
    high: tuple[float, float]
    height_m: float
    look: int
    gabled: bool


@dataclass(frozen=True, slots=True)
class Tree:
    at: tuple[float, float]
    height_m: float
    radius_m: float
    look: int


@dataclass(frozen=True, slots=True)
class Lamp:
    """A street lamp; its head hangs ``reach_m`` from the pole towards ``towards`` (a unit vector)."""

    at: tuple[float, float]
    towards: tuple[float, float]

    HEIGHT_M = 6.0
    REACH_M = 1.2

    @property
    def head(self) -> tuple[float, float, float]:
        x, y = self.at
        return (x + self.towards[0] * self.REACH_M, y + self.towards[1] * self.REACH_M, self.HEIGHT_M)


@dataclass(frozen=True, slots=True)
class Ring:
    """A closed way around a square: rounded corners, driven one way.

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

    def at(self, s: Floats) -> tuple[Floats, Floats, Floats]:
        """x, y and heading (radians, counter-clockwise from east) after ``s`` metres along the way."""
        return along_rings(np.broadcast_to(self.numbers(), (len(s), 6)), s)

    def numbers(self) -> Floats:
        """The ring as a row for ``along_rings``: centre, half width, half depth, corner, turn."""
        return np.array([*self.center, *self.half_m, self.corner_m, self.turn], dtype=np.float64)


def along_rings(rings: Floats, s: Floats) -> tuple[Floats, Floats, Floats]:
    """x, y and heading after ``s`` metres (N,) along rings (N, 6), each on one of its own.

    A ring begins at the west end of its southern side. Each quarter is a straight and a corner; the
    quarters differ by a turn of 90 degrees, and in which half extent is "along" and which "out".
    """
    cx, cy, half_x, half_y, r, turn = rings.T
    arc = math.pi / 2 * r
    width, depth = 2 * (half_x - r), 2 * (half_y - r)
    half_turn = width + depth + 2 * arc
    s = np.mod(s * turn, 2 * half_turn)
    second = s >= half_turn
    s = s - np.where(second, half_turn, 0.0)
    late = s >= width + arc
    s = s - np.where(late, width + arc, 0.0)
    straight = np.where(late, depth, width)
    base = np.where(second, math.pi, 0.0) + np.where(late, math.pi / 2, 0.0)
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

    ``ring`` is an index into the layout's rings, or -1 for what stands still; ``start_m`` and
    ``speed_mps`` say how far along it an object is; ``offset_m`` moves it sideways (left of its
    heading); ``still`` holds x, y, heading of what stands.
    """

    kinds: npt.NDArray[np.int64]
    looks: npt.NDArray[np.int64]
    ring: npt.NDArray[np.int64]
    start_m: Floats
    speed_mps: Floats
    offset_m: Floats
    still: Floats

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(frozen=True, slots=True)
class Poses:
    """Where every mover is: x, y in metres and heading in radians, (N,) each."""

    x: Floats
    y: Floats
    heading: Floats


@dataclass(frozen=True, slots=True)
class Layout:
    """A town: everything but its weather."""

    half_m: float
    roads_x: tuple[float, ...]
    """x of the roads that run north to south."""
    roads_y: tuple[float, ...]
    buildings: tuple[Building, ...]
    trees: tuple[Tree, ...]
    lamps: tuple[Lamp, ...]
    rings: tuple[Ring, ...]
    movers: Movers

    def poses(self, t: float) -> Poses:
        """Where everyone is at emulated second ``t``."""
        movers = self.movers
        x, y, heading = movers.still.T.copy()
        on = np.flatnonzero(movers.ring >= 0)
        if len(on):
            rings = np.stack([ring.numbers() for ring in self.rings])[movers.ring[on]]
            rx, ry, rh = along_rings(rings, movers.start_m[on] + movers.speed_mps[on] * t)
            x[on] = rx - np.sin(rh) * movers.offset_m[on]
            y[on] = ry + np.cos(rh) * movers.offset_m[on]
            heading[on] = rh + np.where(movers.speed_mps[on] < 0, math.pi, 0.0)
        return Poses(x, y, heading)

    def on_road(self, x: float, y: float, slack_m: float = 0.0) -> bool:
        """Whether a point is on asphalt."""
        reach = ROAD_HALF_M + slack_m
        inside_x = self.roads_x[0] - reach <= x <= self.roads_x[-1] + reach
        inside_y = self.roads_y[0] - reach <= y <= self.roads_y[-1] + reach
        near_x = any(abs(x - road) <= reach for road in self.roads_x)
        near_y = any(abs(y - road) <= reach for road in self.roads_y)
        return (near_x and inside_y) or (near_y and inside_x)


def road_lines(size_m: float) -> tuple[float, ...]:
    """Where roads run in a town of this size, the same for both directions."""
    reach = size_m / 2 - EDGE_M
    if reach < PITCH_M:
        return (-reach, 0.0, reach)
    count = int(reach // PITCH_M)
    return tuple(PITCH_M * k for k in range(-count, count + 1))


def lay_out(town: schema.Town, seed: int) -> Layout:
    """The town that this seed makes. ``town.seed`` and ``seed`` both count."""
    lines = road_lines(town.size)
    blocks = [
        (x0, y0, x1, y1) for x0, x1 in itertools.pairwise(lines) for y0, y1 in itertools.pairwise(lines)
    ]
    rings, walks = _rings(blocks, lines)
    root = (town.seed, seed)
    buildings = _buildings(blocks, lines, town.size / 2, _stream(root, "buildings"))
    return Layout(
        half_m=town.size / 2,
        roads_x=lines,
        roads_y=lines,
        buildings=buildings,
        trees=_trees(blocks, _stream(root, "trees")),
        lamps=_lamps(lines),
        rings=(*rings, *walks),
        movers=_movers(town, lines, rings, walks, root),
    )


def _stream(root: tuple[int, int], name: str) -> np.random.Generator:
    return stream(root[0], "town", root[1], name)


def _rings(
    blocks: list[tuple[float, float, float, float]], lines: tuple[float, ...]
) -> tuple[list[Ring], list[Ring]]:
    """Traffic's rings and pedestrians' rings."""
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


def _movers(
    town: schema.Town,
    lines: tuple[float, ...],
    rings: list[Ring],
    walks: list[Ring],
    root: tuple[int, int],
) -> Movers:
    bays = _parking(lines)
    parked = min(round(town.cars * PARKED_SHARE), len(bays))
    rng = _stream(root, "traffic")
    vehicles = np.array([0] * (town.cars - parked) + [1] * town.trucks, dtype=np.int64)
    rng.shuffle(vehicles)
    ring, start, ring_speed = _spread(rings, len(vehicles), rng, jitter=0.3)
    speed = ring_speed[ring] if len(vehicles) else np.zeros(0)
    walk_rng = _stream(root, "pedestrians")
    walk, walk_start, _ = _spread(walks, town.pedestrians, walk_rng, jitter=0.9)
    direction = walk_rng.choice((-1.0, 1.0), town.pedestrians)
    walk_speed = walk_rng.uniform(0.9, 1.7, town.pedestrians) * direction
    # those who walk against the ring keep to its other side
    walk_offset = direction * walk_rng.uniform(0.1, 0.45, town.pedestrians)
    still = _stream(root, "parked").permutation(len(bays))[:parked]
    counts = (len(vehicles), town.pedestrians, parked)
    kinds = np.concatenate((vehicles, np.full(counts[1], 2), np.zeros(parked, np.int64)))
    looks_rng = _stream(root, "looks")
    return Movers(
        kinds=kinds.astype(np.int64),
        looks=(looks_rng.random(len(kinds)) * [PALETTES[_kind(k)] for k in kinds]).astype(np.int64),
        ring=np.concatenate((ring, walk + len(rings), np.full(parked, -1))).astype(np.int64),
        start_m=np.concatenate((start, walk_start, np.zeros(parked))),
        speed_mps=np.concatenate((speed, walk_speed, np.zeros(parked))),
        offset_m=np.concatenate((np.zeros(counts[0]), walk_offset, np.zeros(parked))),
        still=np.concatenate((np.zeros((counts[0] + counts[1], 3)), bays[still].reshape(-1, 3))),
    )


def _kind(index: int) -> Kind:
    return CLASSES[index]  # type: ignore[return-value]


def _spread(
    rings: list[Ring], count: int, rng: np.random.Generator, jitter: float
) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """Shares ``count`` objects among the rings by length: ring and start of each, speed of each ring.

    Objects of a ring are evenly spaced, then moved by up to ``jitter`` of half the gap; all vehicles
    of a ring drive equally fast, so none ever runs into another.
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


def _parking(lines: tuple[float, ...]) -> Floats:
    """Every place to park, (N, 3): x, y, heading; half on the pavement, out of the lane's way."""
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


def _buildings(
    blocks: list[tuple[float, float, float, float]],
    lines: tuple[float, ...],
    half_m: float,
    rng: np.random.Generator,
) -> tuple[Building, ...]:
    built = []
    margin = CORRIDOR_HALF_M + 1.4
    for x0, y0, x1, y1 in blocks:
        built += _along_rim((x0 + margin, y0 + margin, x1 - margin, y1 - margin), rng)
    outside = half_m - (lines[-1] + margin)
    if outside >= 6:
        edge = lines[-1] + margin
        for side in range(4):
            built += _outskirts(side, edge, half_m, rng)
    return tuple(built)


def _along_rim(lot: tuple[float, float, float, float], rng: np.random.Generator) -> list[Building]:
    """Houses around the rim of a block, with gaps between them and a yard inside."""
    x0, y0, x1, y1 = lot
    width, depth = x1 - x0, y1 - y0
    if min(width, depth) < 8:
        return []
    if rng.random() < 0.12:  # a small park
        return []
    columns = max(1, round(width / 15))
    rows = max(1, round(depth / 15))
    out = []
    for i in range(columns):
        for j in range(rows):
            inner = 0 < i < columns - 1 and 0 < j < rows - 1
            if inner or rng.random() < 0.14:
                continue
            cell = (x0 + width * i / columns, y0 + depth * j / rows)
            w, d = width / columns, depth / rows
            low = (cell[0] + rng.uniform(0.2, 1.6), cell[1] + rng.uniform(0.2, 1.6))
            high = (cell[0] + w - rng.uniform(0.2, 1.6), cell[1] + d - rng.uniform(0.2, 1.6))
            out.append(_house(low, high, rng))
    return out


def _outskirts(side: int, edge: float, half_m: float, rng: np.random.Generator) -> list[Building]:
    out = []
    at = -half_m + 4.0
    while at < half_m - 14:
        length = rng.uniform(9, 16)
        near, far = edge + rng.uniform(0, 1.5), min(half_m, edge + rng.uniform(8, 14))
        if rng.random() < 0.75:
            low, high = (at, near), (at + length, far)
            if side % 2:
                low, high = (low[1], low[0]), (high[1], high[0])
            if side >= 2:
                low, high = (-high[0], -high[1]), (-low[0], -low[1])
            out.append(_house(low, high, rng))
        at += length + rng.uniform(1, 7)
    return out


def _house(low: tuple[float, float], high: tuple[float, float], rng: np.random.Generator) -> Building:
    gabled = bool(rng.random() < 0.45)
    floors = rng.integers(2, 4) if gabled else rng.integers(2, 7)
    return Building(low, high, float(floors) * 3.0 + 0.4, int(rng.integers(0, 1000)), gabled)


def _trees(blocks: list[tuple[float, float, float, float]], rng: np.random.Generator) -> tuple[Tree, ...]:
    """Trees stand behind the pavements, so that a camera on a pole sees along its road."""
    out = []
    inset = CORRIDOR_HALF_M + 0.5
    for x0, y0, x1, y1 in blocks:
        for side in range(4):
            length = (x1 - x0 if side % 2 == 0 else y1 - y0) - 2 * inset
            at = rng.uniform(3, 10)
            while at < length - 3:
                if side % 2 == 0:
                    spot = (x0 + inset + at, y0 + inset if side == 0 else y1 - inset)
                else:
                    spot = (x0 + inset if side == 1 else x1 - inset, y0 + inset + at)
                if rng.random() < 0.65:
                    out.append(
                        Tree(spot, rng.uniform(3.6, 5.6), rng.uniform(1.1, 1.7), int(rng.integers(0, 4)))
                    )
                at += rng.uniform(9, 19)
    return tuple(out)


def _lamps(lines: tuple[float, ...]) -> tuple[Lamp, ...]:
    """Along every road, on alternating sides, every 20 m or so."""
    out = []
    pole = ROAD_HALF_M + 0.5
    for road in lines:
        for a, b in itertools.pairwise(lines):
            spots = np.linspace(a, b, max(2, round((b - a) / 20)) + 1)
            for number, at in enumerate((spots[:-1] + spots[1:]) / 2):
                side = 1.0 if number % 2 else -1.0
                out.append(Lamp((road + side * pole, float(at)), (-side, 0.0)))
                out.append(Lamp((float(at), road - side * pole), (0.0, side)))
    return tuple(out)
