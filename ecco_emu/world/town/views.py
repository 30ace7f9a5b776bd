"""Where a camera stands and the geometry of its picture. Pure.

World axes: x east, y north, z up, metres. Pixels: x right, y down, (0, 0) the top left corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecco_emu.scenario.sections.cameras import CameraSection
from ecco_emu.world.town.arrays import F64
from ecco_emu.world.town.layout import Layout
from ecco_emu.world.town.streets import CORRIDOR_HALF_M, ROAD_HALF_M

AIM_HEIGHT_M = 0.8
"""A camera looks at a point this high above ``look_at``: the middle of a car."""
NEAR_M, FAR_M = 0.6, 500.0


@dataclass(frozen=True, slots=True)
class Viewpoint:
    """A fixed camera. ``at`` and ``look_at`` are x and y in metres."""

    at: tuple[float, float]
    look_at: tuple[float, float]
    height_m: float
    fov_deg: float
    """Horizontal field of view."""

    @property
    def eye(self) -> F64:
        """The camera's place, (3,) metres."""
        return np.array([*self.at, self.height_m])

    def axes(self) -> F64:
        """Rows: the camera's right, down and forward as world vectors, (3, 3)."""
        forward = np.array([*self.look_at, AIM_HEIGHT_M]) - self.eye
        if math.hypot(forward[0], forward[1]) < 1e-6:
            forward[1] = 1e-3  # straight down: north is up
        forward /= np.linalg.norm(forward)
        right = np.array([forward[1], -forward[0], 0.0])
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward])


def view_of(camera: CameraSection) -> Viewpoint:
    """The view that a scenario gives a camera."""
    source = camera.source
    return Viewpoint(camera.at, source.look_at, source.height, source.fov)


def focal_px(view: Viewpoint, width_px: int) -> float:
    """The focal length in pixels of a picture this wide: an object of 1 m at 1 m depth takes so many."""
    return width_px / 2 / math.tan(math.radians(view.fov_deg) / 2)


def project(view: Viewpoint, size: tuple[int, int], points: F64) -> tuple[F64, F64]:
    """Pixels (N, 2) and depth in metres (N,) of world points (N, 3). Depth <= 0 is behind the camera.

    ``size`` is the picture's width and height in pixels. Pixels of points behind the camera mean nothing.
    """
    seen = (points - view.eye) @ view.axes().T
    depth = seen[:, 2]
    scale = focal_px(view, size[0]) / np.where(np.abs(depth) < 1e-6, 1e-6, depth)
    pixels = seen[:, :2] * scale[:, None] + np.array(size, dtype=float) / 2
    return pixels, depth


def rays(view: Viewpoint, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Unit vectors through the centre of every pixel, (H, W, 3)."""
    width, height = size
    x = np.arange(width) + 0.5 - width / 2
    y = np.arange(height) + 0.5 - height / 2
    seen = np.empty((height, width, 3))
    seen[..., 0], seen[..., 1], seen[..., 2] = x[None, :], y[:, None], focal_px(view, width)
    out = seen @ view.axes()
    out /= np.linalg.norm(out, axis=-1, keepdims=True)
    return np.asarray(out, dtype=np.float32)


def random_view(layout: Layout, rng: np.random.Generator) -> Viewpoint:
    """A view such as scenarios have: from beside a road or above a crossing, along a road."""
    north = bool(rng.random() < 0.5)
    roads, crossings = (layout.roads_x, layout.roads_y) if north else (layout.roads_y, layout.roads_x)
    road = float(rng.choice(roads))
    reach = crossings[-1] - 2.0
    along = float(rng.uniform(-reach, reach))
    side = float(rng.uniform(-CORRIDOR_HALF_M, CORRIDOR_HALF_M))
    ahead = float(rng.uniform(10, 32)) * (1 if rng.random() < 0.5 else -1)
    if abs(along + ahead) > reach + 6:
        ahead = -ahead
    aim_side = float(rng.uniform(-ROAD_HALF_M, ROAD_HALF_M))
    at, look_at = (road + side, along), (road + aim_side, along + ahead)
    if not north:
        at, look_at = (at[1], at[0]), (look_at[1], look_at[0])
    return Viewpoint(at, look_at, float(rng.uniform(5, 12)), float(rng.uniform(55, 85)))
