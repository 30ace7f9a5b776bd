"""The town as numbers: roads, buildings, trees, lamps, and the places of all movers at a time. Pure.

Roads form a grid whose lines do not depend on the seed: every ``PITCH_M`` metres, one through the origin, so
a person can place cameras without looking at a map. Traffic keeps right. Each block has one ring of traffic
around it that always turns right, and the outermost road has a second ring outside it that always turns
left. So every lane is used and no two rings ever cross: positions need no simulation and are a plain function
of time.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from ecco_emu.core.random_streams import stream
from ecco_emu.scenario.sections.world import TownSection
from ecco_emu.world.town.streets import CORRIDOR_HALF_M, ROAD_HALF_M, road_lines
from ecco_emu.world.town.traffic import Movers, Poses, Ring, along_rings, rings_of, spread_out


@dataclass(frozen=True, slots=True)
class Building:
    """A box with its corners at ``low`` and ``high`` (x, y) metres. ``look`` chooses its colours."""

    low: tuple[float, float]
    high: tuple[float, float]
    height_m: float
    look: int
    gabled: bool


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree at (x, y) metres with a round crown. ``look`` chooses its colour."""

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
        """x, y and z of the head, metres."""
        x, y = self.at
        return (x + self.towards[0] * self.REACH_M, y + self.towards[1] * self.REACH_M, self.HEIGHT_M)


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
        """The places of all movers at emulated second ``t``."""
        movers = self.movers
        x, y, heading = movers.still.T.copy()
        on = np.flatnonzero(movers.ring >= 0)
        if len(on):
            rings = np.stack([ring.numbers() for ring in self.rings])[movers.ring[on]]
            rx, ry, rh = along_rings(rings, movers.start_m[on] + movers.speed_mps[on] * t)
            x[on] = rx - np.sin(rh) * movers.offset_m[on]
            y[on] = ry + np.cos(rh) * movers.offset_m[on]
            # a negative speed walks against the ring's direction
            heading[on] = rh + np.where(movers.speed_mps[on] < 0, math.pi, 0.0)
        return Poses(x, y, heading)


def lay_out(town: TownSection, seed: int) -> Layout:
    """The town that follows from the section and a scenario's seed. ``town.seed`` and ``seed`` both count."""
    lines = road_lines(town.size)
    blocks = [
        (x0, y0, x1, y1) for x0, x1 in itertools.pairwise(lines) for y0, y1 in itertools.pairwise(lines)
    ]
    rings, walks = rings_of(blocks, lines)
    # A stream each: another number of cars must not change the trees.
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
        movers=spread_out(town, lines, rings, walks, partial(_stream, root)),
    )


def _stream(root: tuple[int, int], name: str) -> np.random.Generator:
    return stream(root[0], "town", root[1], name)


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
    if outside >= 6:  # metres: room for a house between the outermost road and the edge of town
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
            # no house in the yard, and now and then a gap in the row
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
    """A row of houses outside the outermost road, made for the north side and turned to ``side``."""
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
    """Trees along the four sides of every block, behind the pavements: a camera on a pole sees past them."""
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
    """Lamps along every road, every 20 m or so, on alternating sides."""
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
