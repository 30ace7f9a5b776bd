"""Boxes and quads with colours in their corners, gathered into one Panda3D geometry.

Light is baked: a face's colour is multiplied by the share of the sun that its direction gets. So the renderer
needs no lights, and a building's walls differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from panda3d import core as p3

Color = tuple[float, float, float]
Vertex = tuple[float, float, float]

_SUN = (-0.45, -0.62, 0.64)
"""Towards the sun, in the south-west; of length 1."""
_AMBIENT = 0.58
_DIFFUSE = 0.46


class Mesh:
    """A growing list of coloured faces. ``shade=False`` leaves their colours as given, as ids need them."""

    def __init__(self, shade: bool = True) -> None:
        self._points: list[Vertex] = []
        self._colors: list[tuple[float, float, float, float]] = []
        self._triangles: list[tuple[int, int, int]] = []
        self._shade = shade

    def face(self, corners: Sequence[Vertex], color: Color, alpha: float = 1.0) -> None:
        """A flat polygon, corners counter-clockwise as seen from its front."""
        light = self._light(corners) if self._shade else 1.0
        first = len(self._points)
        red, green, blue = (min(1.0, c * light) for c in color)
        self._points.extend(corners)
        self._colors.extend([(red, green, blue, alpha)] * len(corners))
        self._triangles.extend((first, first + i, first + i + 1) for i in range(1, len(corners) - 1))

    def _light(self, corners: Sequence[Vertex]) -> float:
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners[:3]
        ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        length = max(1e-9, math.sqrt(nx * nx + ny * ny + nz * nz))
        facing = (nx * _SUN[0] + ny * _SUN[1] + nz * _SUN[2]) / length
        return _AMBIENT + _DIFFUSE * max(0.0, facing) + 0.1 * float(nz / length > 0.5)

    def box(self, low: Vertex, high: Vertex, color: Color, top: Color | None = None) -> None:
        """An upright box without its underside."""
        self.frustum(low, high, (0.0, 0.0, 0.0, 0.0), color, top)

    def frustum(
        self,
        low: Vertex,
        high: Vertex,
        inset: tuple[float, float, float, float],
        color: Color,
        top: Color | None = None,
    ) -> None:
        """A box whose top is drawn in by ``inset`` metres at -x, +x, -y, +y."""
        (x0, y0, z0), (x1, y1, z1) = low, high
        a, b, c, d = (x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)
        u0, u1, v0, v1 = x0 + inset[0], x1 - inset[1], y0 + inset[2], y1 - inset[3]
        e, f, g, h = (u0, v0, z1), (u1, v0, z1), (u1, v1, z1), (u0, v1, z1)
        for corners in ((a, b, f, e), (b, c, g, f), (c, d, h, g), (d, a, e, h)):
            self.face(corners, color)
        self.face((e, f, g, h), top or color)

    def disc(self, center: Vertex, radius: float, axis: int, color: Color, sides: int = 8) -> None:
        """A vertical disc that faces both ways along ``axis`` (0 is x, 1 is y): a wheel's side."""
        ring: list[Vertex] = []
        for i in range(sides):
            angle = 2 * math.pi * i / sides
            along, up = radius * math.cos(angle), radius * math.sin(angle)
            x, y, z = center
            ring.append((x, y + along, z + up) if axis == 0 else (x + along, y, z + up))
        self.face(ring, color)
        self.face(ring[::-1], color)

    def ground(self, low: tuple[float, float], high: tuple[float, float], color: Color) -> None:
        """A rectangle on the ground, facing up."""
        (x0, y0), (x1, y1) = low, high
        self.face(((x0, y0, 0), (x1, y0, 0), (x1, y1, 0), (x0, y1, 0)), color)

    def node(self, name: str) -> p3.GeomNode:
        """The faces as a Panda3D node."""
        data = p3.GeomVertexData(name, p3.GeomVertexFormat.get_v3c4(), p3.Geom.UH_static)
        data.set_num_rows(len(self._points))
        vertex, color = p3.GeomVertexWriter(data, "vertex"), p3.GeomVertexWriter(data, "color")
        for point, tint in zip(self._points, self._colors, strict=True):
            vertex.set_data3(*point)
            color.set_data4(*tint)
        triangles = p3.GeomTriangles(p3.Geom.UH_static)
        for corner in self._triangles:
            triangles.add_vertices(*corner)
        triangles.close_primitive()
        geometry = p3.Geom(data)
        geometry.add_primitive(triangles)
        node = p3.GeomNode(name)
        if self._triangles:
            node.add_geom(geometry)
        return node
