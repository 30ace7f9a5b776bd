"""The shapes of cars, trucks and pedestrians: a few boxes each, facing east (+x), standing at z = 0."""

from __future__ import annotations

from ecco_emu.world.town.mesh import Color, Mesh
from ecco_emu.world.town.streets import PALETTES, SIZES, Kind

GLASS: Color = (0.10, 0.13, 0.17)
_TYRE: Color = (0.07, 0.07, 0.08)
_HEADLIGHT: Color = (1.0, 0.97, 0.85)
_TAILLIGHT: Color = (0.75, 0.06, 0.05)

_CAR_PAINTS: tuple[Color, ...] = (
    (0.78, 0.10, 0.09),
    (0.93, 0.93, 0.94),
    (0.16, 0.28, 0.62),
    (0.14, 0.14, 0.16),
    (0.66, 0.68, 0.71),
    (0.95, 0.72, 0.10),
    (0.12, 0.45, 0.28),
    (0.40, 0.60, 0.80),
    (0.50, 0.20, 0.14),
)
_TRUCK_PAINTS: tuple[tuple[Color, Color], ...] = (
    ((0.85, 0.15, 0.12), (0.92, 0.92, 0.90)),
    ((0.92, 0.92, 0.94), (0.20, 0.36, 0.66)),
    ((0.18, 0.32, 0.62), (0.90, 0.86, 0.74)),
    ((0.95, 0.62, 0.10), (0.85, 0.86, 0.88)),
    ((0.22, 0.48, 0.30), (0.78, 0.80, 0.78)),
    ((0.30, 0.30, 0.34), (0.88, 0.52, 0.16)),
)
_SHIRTS: tuple[Color, ...] = (
    (0.86, 0.20, 0.20),
    (0.95, 0.95, 0.95),
    (0.20, 0.40, 0.80),
    (0.96, 0.80, 0.20),
    (0.20, 0.55, 0.30),
    (0.55, 0.25, 0.60),
    (0.95, 0.50, 0.15),
    (0.15, 0.15, 0.18),
    (0.95, 0.62, 0.70),
    (0.30, 0.75, 0.75),
)
_TROUSERS: tuple[Color, ...] = (
    (0.14, 0.17, 0.32),
    (0.12, 0.12, 0.13),
    (0.45, 0.38, 0.28),
    (0.32, 0.34, 0.38),
)
_SKINS: tuple[Color, ...] = ((0.93, 0.76, 0.63), (0.66, 0.46, 0.33), (0.42, 0.28, 0.20))
_HAIR: tuple[Color, ...] = ((0.15, 0.10, 0.07), (0.45, 0.30, 0.14), (0.75, 0.62, 0.35), (0.5, 0.5, 0.5))


def model(kind: Kind, look: int, stride: int = 0) -> Mesh:
    """The mesh of one look of a kind. ``stride`` (0 or 1) chooses between a pedestrian's two poses."""
    look %= PALETTES[kind]
    if kind == "car":
        return _car(_CAR_PAINTS[look], estate=look % 3 == 1)
    if kind == "truck":
        return _truck(*_TRUCK_PAINTS[look])
    return _pedestrian(look, stride)


def _wheels(mesh: Mesh, xs: tuple[float, ...], half_width: float, radius: float) -> None:
    for x in xs:
        for side in (-1, 1):
            y = side * half_width
            mesh.box((x - radius, y - 0.12, 0.0), (x + radius, y + 0.12, radius * 1.3), _TYRE)
            mesh.disc((x, y + side * 0.16, radius), radius, 1, _TYRE)
            mesh.disc((x, y + side * 0.19, radius), radius * 0.5, 1, (0.6, 0.6, 0.62), sides=6)


def _lights(mesh: Mesh, front: float, back: float, half_width: float, z: float) -> None:
    for side in (-1, 1):
        y0, y1 = sorted((side * (half_width - 0.45), side * (half_width - 0.05)))
        f, b = front + 0.03, back - 0.03
        mesh.face(((f, y0, z), (f, y1, z), (f, y1, z + 0.22), (f, y0, z + 0.22)), _HEADLIGHT)
        mesh.face(((b, y1, z), (b, y0, z), (b, y0, z + 0.22), (b, y1, z + 0.22)), _TAILLIGHT)


def _car(paint: Color, estate: bool) -> Mesh:
    length, width, height = SIZES["car"]
    x1, y1 = length / 2, width / 2
    mesh = Mesh()
    mesh.frustum((-x1, -y1, 0.30), (x1, y1, 0.88), (0.08, 0.12, 0.06, 0.06), paint)
    back = -x1 + (0.12 if estate else 0.55)
    front = 0.95
    glass_top = height - 0.07
    rake = (0.18 if estate else 0.55, 0.65, 0.17, 0.17)
    mesh.frustum((back, -y1 + 0.1, 0.88), (front, y1 - 0.1, glass_top), rake, GLASS, paint)
    roof_low = (back + rake[0], -y1 + 0.27, glass_top)
    mesh.box(roof_low, (front - rake[1], y1 - 0.27, height), paint)
    for x in (back + 0.75, -0.05):  # pillars split the side windows
        for side in (-1, 1):
            base, top = side * (y1 - 0.08), side * (y1 - 0.25)
            corners = (
                (x, base, 0.88),
                (x + 0.14, base, 0.88),
                (x + 0.14, top, glass_top),
                (x, top, glass_top),
            )
            mesh.face(corners if side < 0 else corners[::-1], paint)
    _wheels(mesh, (-1.32, 1.32), y1 - 0.08, 0.33)
    _lights(mesh, x1, -x1, y1, 0.55)
    return mesh


def _truck(cab: Color, trailer: Color) -> Mesh:
    length, width, height = SIZES["truck"]
    x1, y1 = length / 2, width / 2
    mesh = Mesh()
    mesh.box((-x1, -y1 + 0.2, 0.45), (x1 - 0.2, y1 - 0.2, 0.75), (0.2, 0.2, 0.22))
    mesh.box((-x1, -y1, 0.75), (x1 - 2.3, y1, height), trailer)
    for side in (-1, 1):  # a stripe along the trailer
        y = side * (y1 + 0.04)
        corners = ((-x1, y, 1.5), (x1 - 2.3, y, 1.5), (x1 - 2.3, y, 1.85), (-x1, y, 1.85))
        mesh.face(corners if side < 0 else corners[::-1], cab)
    mesh.frustum((x1 - 2.0, -y1 + 0.08, 0.45), (x1, y1 - 0.08, 1.45), (0, 0.05, 0, 0), cab)
    mesh.frustum((x1 - 2.0, -y1 + 0.1, 1.45), (x1 - 0.05, y1 - 0.1, 2.15), (0, 0.25, 0.04, 0.04), GLASS)
    mesh.box((x1 - 2.0, -y1 + 0.14, 2.15), (x1 - 0.3, y1 - 0.14, 2.55), cab)
    mesh.box((x1 - 2.0, -y1 + 0.08, 1.45), (x1 - 1.6, y1 - 0.08, 2.2), cab)
    _wheels(mesh, (-x1 + 0.8, -x1 + 1.9, x1 - 1.0), y1 - 0.1, 0.48)
    _lights(mesh, x1, -x1, y1, 0.72)
    return mesh


def _pedestrian(look: int, stride: int) -> Mesh:
    shirt = _SHIRTS[look]
    trousers = _TROUSERS[look % len(_TROUSERS)]
    skin = _SKINS[(look * 2) % len(_SKINS)]
    hair = _HAIR[look % len(_HAIR)]
    step = 0.24 if stride else 0.05
    mesh = Mesh()
    for side in (-1, 1):
        foot = side * step
        y0, y1 = sorted((side * 0.03, side * 0.21))
        mesh.frustum((foot - 0.12, y0, 0.0), (foot + 0.14, y1, 0.1), (0, 0.03, 0, 0), (0.1, 0.08, 0.07))
        leg = (foot - 0.1, y0, 0.1)
        lean = 0.6 * foot
        mesh.frustum(leg, (foot + 0.1, y1, 0.84), (-lean, lean, 0, 0), trousers)
        a0, a1 = sorted((side * 0.23, side * 0.34))
        swing = -foot * 0.9
        mesh.frustum(
            (swing - 0.07, a0, 0.78), (swing + 0.07, a1, 1.42), (-swing * -0.9, swing * -0.9, 0, 0), shirt
        )
        mesh.box((swing - 0.06, a0, 0.70), (swing + 0.06, a1, 0.80), skin)
    mesh.frustum((-0.14, -0.24, 0.82), (0.14, 0.24, 1.46), (0.02, 0.02, 0.03, 0.03), shirt)
    mesh.box((-0.06, -0.06, 1.46), (0.06, 0.06, 1.54), skin)
    mesh.box((-0.11, -0.11, 1.52), (0.12, 0.11, 1.74), skin)
    mesh.box((-0.14, -0.13, 1.66), (0.08, 0.13, 1.80), hair)
    mesh.box((-0.14, -0.12, 1.54), (-0.06, 0.12, 1.68), hair)
    return mesh
