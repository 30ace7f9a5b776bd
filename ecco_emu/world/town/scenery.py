"""The town's ground, houses, trees and lamps as meshes, and buildings in a plain form for the id pass."""

from __future__ import annotations

import itertools

import numpy as np
from panda3d import core as p3

from ecco_emu.core.random_streams import stream
from ecco_emu.world.town.layout import Building, Lamp, Layout, Tree
from ecco_emu.world.town.mesh import Color, Mesh, Vertex
from ecco_emu.world.town.models import GLASS
from ecco_emu.world.town.streets import CORRIDOR_HALF_M, ROAD_HALF_M

_GRASS: Color = (0.36, 0.48, 0.25)
_ASPHALT: Color = (0.30, 0.30, 0.32)
_PAVING: Color = (0.58, 0.56, 0.53)
_KERB: Color = (0.68, 0.67, 0.64)
_PAINT: Color = (0.82, 0.82, 0.80)
_WALLS: tuple[Color, ...] = (
    (0.72, 0.42, 0.33),
    (0.85, 0.79, 0.66),
    (0.70, 0.70, 0.70),
    (0.60, 0.50, 0.42),
    (0.90, 0.87, 0.82),
    (0.78, 0.62, 0.45),
    (0.55, 0.60, 0.66),
    (0.80, 0.70, 0.62),
)
_ROOFS: tuple[Color, ...] = ((0.50, 0.24, 0.18), (0.32, 0.32, 0.35), (0.42, 0.30, 0.24), (0.45, 0.45, 0.47))
_LEAVES: tuple[Color, ...] = (
    (0.22, 0.42, 0.16),
    (0.28, 0.50, 0.20),
    (0.34, 0.46, 0.15),
    (0.18, 0.36, 0.20),
)
FLOOR_M = 3.0


def ground(layout: Layout) -> list[p3.GeomNode]:
    """The ground's layers, lowest first. Each is drawn over the one before it, without a depth test.

    All lie at z = 0, where a depth test would let them flicker through each other.
    """
    grass, paving, kerb, asphalt, paint = (Mesh() for _ in range(5))
    xs, ys = layout.roads_x, layout.roads_y
    far = layout.half_m + 400.0  # there the ground's edge is at the horizon
    grass.ground((-far, -far), (far, far), _GRASS)
    _patches(grass, layout)
    for mesh, half, color in (
        (paving, CORRIDOR_HALF_M, _PAVING),
        (kerb, ROAD_HALF_M + 0.22, _KERB),
        (asphalt, ROAD_HALF_M, _ASPHALT),
    ):
        for x in xs:
            mesh.ground((x - half, ys[0] - half), (x + half, ys[-1] + half), color)
        for y in ys:
            mesh.ground((xs[0] - half, y - half), (xs[-1] + half, y + half), color)
    _repairs(asphalt, layout)
    _markings(paint, layout)
    names = ("grass", "paving", "kerb", "asphalt", "paint")
    meshes = (grass, paving, kerb, asphalt, paint)
    return [mesh.node(name) for mesh, name in zip(meshes, names, strict=True)]


def _patches(mesh: Mesh, layout: Layout) -> None:
    """Darker and lighter patches of grass, the same in every town."""
    rng = stream(0, "scenery", "patches")
    reach = layout.half_m + 60
    for _ in range(int((reach / 7) ** 2 / 4)):
        x, y = rng.uniform(-reach, reach, 2)
        w, d = rng.uniform(3, 12, 2)
        tint = rng.uniform(0.82, 1.15)
        mesh.ground((x, y), (x + w, y + d), (_GRASS[0] * tint, _GRASS[1] * tint, _GRASS[2] * tint))


def _repairs(mesh: Mesh, layout: Layout) -> None:
    """Darker and lighter patches of asphalt, the same in every town."""
    rng = stream(0, "scenery", "repairs")
    low, high = layout.roads_y[0], layout.roads_y[-1]
    for road in layout.roads_x:
        for _ in range(int((high - low) / 7)):
            at, side = rng.uniform(low, high), rng.uniform(-3.6, 1.5)
            w, d, tint = rng.uniform(0.6, 2.1), rng.uniform(1.0, 7.0), rng.uniform(0.84, 1.12)
            color = (_ASPHALT[0] * tint, _ASPHALT[1] * tint, _ASPHALT[2] * tint)
            mesh.ground((road + side, at), (road + side + w, at + d), color)
            mesh.ground((at, road + side), (at + d, road + side + w), color)


def _markings(mesh: Mesh, layout: Layout) -> None:
    """Dashes along the middle of every road, and a zebra crossing on each side of every junction."""
    lines = layout.roads_x
    for road in lines:
        for a, b in itertools.pairwise(lines):
            start, end = a + ROAD_HALF_M + 3.6, b - ROAD_HALF_M - 3.6
            for at in np.arange(start, end - 1.5, 5.0):
                mesh.ground((road - 0.08, at), (road + 0.08, min(at + 2.2, end)), _PAINT)
                mesh.ground((at, road - 0.08), (min(at + 2.2, end), road + 0.08), _PAINT)
            for zebra in (start - 2.9, end + 0.5):
                for bar in np.arange(-ROAD_HALF_M + 0.4, ROAD_HALF_M - 0.5, 0.95):
                    low, high = road + float(bar), road + float(bar) + 0.5
                    mesh.ground((low, zebra), (high, zebra + 2.4), _PAINT)
                    mesh.ground((zebra, low), (zebra + 2.4, high), _PAINT)


def building_mesh(mesh: Mesh, building: Building) -> None:
    """Walls, a door, a strip of windows on every floor, and a roof."""
    wall = _WALLS[building.look % len(_WALLS)]
    roof = _ROOFS[building.look // 8 % len(_ROOFS)]
    (x0, y0), (x1, y1), top = building.low, building.high, building.height_m
    mesh.box((x0, y0, 0), (x1, y1, top), wall, roof)
    mesh.box((x0 - 0.05, y0 - 0.05, 0), (x1 + 0.05, y1 + 0.05, 0.7), _dim(wall, 0.6))
    if building.gabled:
        _gable(mesh, building, roof, wall)
    else:
        mesh.box(
            (x0 - 0.15, y0 - 0.15, top - 0.3), (x1 + 0.15, y1 + 0.15, top + 0.25), _dim(wall, 0.85), roof
        )
    for corners in windows(building):
        mesh.face(corners, GLASS if building.look % 2 else (0.20, 0.27, 0.34))


def building_solid(mesh: Mesh, building: Building) -> None:
    """The part of a building that hides things: its walls and roof, without windows and edges."""
    (x0, y0), (x1, y1) = building.low, building.high
    mesh.box((x0, y0, 0), (x1, y1, building.height_m), _PAINT)
    if building.gabled:
        _gable(mesh, building, _PAINT, _PAINT)


def _dim(color: Color, factor: float) -> Color:
    return (color[0] * factor, color[1] * factor, color[2] * factor)


def _gable(mesh: Mesh, building: Building, roof: Color, wall: Color) -> None:
    (x0, y0), (x1, y1), z = building.low, building.high, building.height_m
    x0, y0, x1, y1 = x0 - 0.3, y0 - 0.3, x1 + 0.3, y1 + 0.3
    if x1 - x0 > y1 - y0:  # the ridge runs along the longer side
        ridge = z + 0.3 * (y1 - y0)
        m = (y0 + y1) / 2
        mesh.face(((x0, y0, z), (x1, y0, z), (x1, m, ridge), (x0, m, ridge)), roof)
        mesh.face(((x1, y1, z), (x0, y1, z), (x0, m, ridge), (x1, m, ridge)), roof)
        mesh.face(((x1, y0, z), (x1, y1, z), (x1, m, ridge)), wall)
        mesh.face(((x0, y1, z), (x0, y0, z), (x0, m, ridge)), wall)
    else:
        ridge = z + 0.3 * (x1 - x0)
        m = (x0 + x1) / 2
        mesh.face(((x1, y0, z), (x1, y1, z), (m, y1, ridge), (m, y0, ridge)), roof)
        mesh.face(((x0, y1, z), (x0, y0, z), (m, y0, ridge), (m, y1, ridge)), roof)
        mesh.face(((x0, y0, z), (x1, y0, z), (m, y0, ridge)), wall)
        mesh.face(((x1, y1, z), (x0, y1, z), (m, y1, ridge)), wall)


def windows(building: Building) -> list[tuple[Vertex, Vertex, Vertex, Vertex]]:
    """The window panes of a building, as faces just in front of its walls."""
    (x0, y0), (x1, y1) = building.low, building.high
    walls = (
        ((x0, y0), (x1, y0), (0.0, -1.0)),
        ((x1, y0), (x1, y1), (1.0, 0.0)),
        ((x1, y1), (x0, y1), (0.0, 1.0)),
        ((x0, y1), (x0, y0), (-1.0, 0.0)),
    )
    panes = []
    for (ax, ay), (bx, by), (nx, ny) in walls:
        length = abs(bx - ax) + abs(by - ay)
        count = max(1, int((length - 0.8) / 2.9))
        ux, uy = (bx - ax) / length, (by - ay) / length
        for floor in range(int(building.height_m / FLOOR_M)):
            low, high = floor * FLOOR_M + 1.1, floor * FLOOR_M + 2.5
            for i in range(count):
                middle = (i + 0.5) * length / count
                s0, s1 = middle - 0.75, middle + 0.75
                p = (ax + ux * s0 + nx * 0.06, ay + uy * s0 + ny * 0.06)
                q = (ax + ux * s1 + nx * 0.06, ay + uy * s1 + ny * 0.06)
                panes.append(((*p, low), (*q, low), (*q, high), (*p, high)))
    return panes


def tree_mesh(mesh: Mesh, tree: Tree) -> None:
    """A trunk and a crown."""
    x, y = tree.at
    leaf, r, top = _LEAVES[tree.look % len(_LEAVES)], tree.radius_m, tree.height_m
    mesh.box((x - 0.14, y - 0.14, 0), (x + 0.14, y + 0.14, top * 0.5), (0.33, 0.24, 0.16))
    low, waist = top * 0.34, top * 0.62
    out, cut, neck = -r * 0.25, r * 0.45, r * 0.75
    mesh.frustum(
        (x - neck, y - neck, low), (x + neck, y + neck, waist), (out, out, out, out), _dim(leaf, 0.8)
    )
    mesh.frustum((x - r, y - r, waist), (x + r, y + r, top), (cut, cut, cut, cut), leaf, _dim(leaf, 1.15))


def lamp_mesh(mesh: Mesh, lamp: Lamp) -> None:
    """A pole, an arm and a head."""
    x, y = lamp.at
    hx, hy, z = lamp.head
    steel: Color = (0.35, 0.36, 0.38)
    mesh.box((x - 0.07, y - 0.07, 0), (x + 0.07, y + 0.07, z), steel)
    low, high = (min(x, hx) - 0.06, min(y, hy) - 0.06, z), (max(x, hx) + 0.06, max(y, hy) + 0.06, z + 0.08)
    mesh.box(low, high, steel)
    mesh.box((hx - 0.18, hy - 0.18, z - 0.12), (hx + 0.18, hy + 0.18, z + 0.08), (0.9, 0.88, 0.8))
