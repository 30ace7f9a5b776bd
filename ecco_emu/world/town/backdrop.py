"""The still part of a fixed camera's picture: distances, the sky, the light of street lamps.

It is computed from the id pass without movers and kept per view, because only movers change from frame to
frame. Pure numpy.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from ecco_emu.world.town.arrays import F32
from ecco_emu.world.town.layout import Lamp, Layout
from ecco_emu.world.town.views import FAR_M, Viewpoint, focal_px, project, rays

LAMP_REACH_M = 20.0
"""A lamp's light ends here, where a four-hundredth and less of it is left."""
_LAMPS_WITHIN_M = 110.0
"""Lamps farther from the camera than this are left out."""


def lamp_light(dx: F32, dy: F32, dz: F32) -> F32:
    """The light of a lamp on points (dx, dy) metres beside and dz metres below its head, 1 right below.

    All the same shape. Nothing above the lamp's head is lit, but for a little slack for the arm itself.
    """
    flat = dx * dx + dy * dy
    light = 1.0 / (1.0 + flat / 20.0) ** 2
    return np.asarray(np.where((dz > -0.3) & (flat < LAMP_REACH_M**2), light, 0.0), dtype=np.float32)


class Backdrop:
    """The still part of one view. ``numbers`` and ``lit`` are the stage's id pass without movers, (H, W).

    ``solid_boxes`` (N, 6) are the bounds of the solids, numbered from ``first_solid``; those from
    ``first_lamp`` are street lamps.
    """

    def __init__(
        self,
        layout: Layout,
        view: Viewpoint,
        numbers: npt.NDArray[np.int32],
        lit: npt.NDArray[np.bool_],
        first_solid: int,
        solid_boxes: F32,
        first_lamp: int,
    ) -> None:
        height, width = numbers.shape
        self._layout, self._view = layout, view
        self._numbers, self._first_solid, self._solid_boxes = numbers, first_solid, solid_boxes
        self._first_lamp = first_lamp
        self._size = (width, height)
        self.eye = view.eye
        self.lit = lit
        """Windows with light behind them, (H, W)."""
        self.rays = rays(view, self._size)
        self.sky = (numbers == 0) & (self.rays[..., 2] > -view.height_m / FAR_M)
        """Pixels that show the sky, (H, W). Ground beyond ``FAR_M`` counts as sky."""
        self.altitude = np.clip(self.rays[..., 2] / 0.45, 0.0, 1.0)[..., None]
        """0 at the horizon to 1 at the sky's darkest, (H, W, 1)."""

    @cached_property
    def distance(self) -> F32:
        """Metres along the ray to the ground or the still object at every pixel, (H, W)."""
        down = np.minimum(self.rays[..., 2], -1e-6)
        out = np.minimum(-np.float32(self._view.height_m) / down, FAR_M).astype(np.float32)
        solid = np.flatnonzero(self._numbers.ravel() >= self._first_solid)
        if len(solid) == 0:
            return out
        boxes = self._solid_boxes[self._numbers.ravel()[solid] - self._first_solid]
        directions = self.rays.reshape(-1, 3)[solid]
        out.ravel()[solid] = self._enter(boxes, directions)
        return out

    def _enter(self, boxes: F32, directions: F32) -> F32:
        """Metres (N,) at which rays (N, 3) from the eye enter boxes (N, 6), by the slab method.

        A gable, a crown or an arm fills its box only in part or reaches a little over it, so a ray may miss
        the box of the object that its pixel shows. It then counts as meeting the box's middle.
        """
        eye = self._view.eye.astype(np.float32)
        safe = np.where(np.abs(directions) < 1e-6, 1e-6, directions)
        a, b = (boxes[:, :3] - eye) / safe, (boxes[:, 3:] - eye) / safe
        enter, leave = np.minimum(a, b).max(axis=1), np.maximum(a, b).min(axis=1)
        middle = np.linalg.norm((boxes[:, :3] + boxes[:, 3:]) / 2 - eye, axis=1)
        hit = (enter <= leave) & (enter > 0)
        return np.asarray(np.clip(np.where(hit, enter, middle), 0.5, FAR_M), dtype=np.float32)

    @cached_property
    def near_lamps(self) -> list[tuple[int, Lamp]]:
        """Lamps that may light something in the picture, with their indices in the layout."""
        x, y = self._view.at
        forward = self._view.axes()[2]
        out = []
        for index, lamp in enumerate(self._layout.lamps):
            dx, dy = lamp.at[0] - x, lamp.at[1] - y
            ahead = dx * forward[0] + dy * forward[1]
            if ahead > -LAMP_REACH_M and dx * dx + dy * dy < _LAMPS_WITHIN_M**2:
                out.append((index, lamp))
        return out

    @cached_property
    def lamp_map(self) -> F32:
        """The light of all street lamps on ground and still objects, (H, W), 0 in the sky."""
        eye = self._view.eye.astype(np.float32)
        points = eye + self.rays * self.distance[..., None]
        x, y, z = (np.ascontiguousarray(points[..., axis]) for axis in range(3))
        out = np.zeros(x.shape, np.float32)
        for _, lamp in self.near_lamps:
            hx, hy, hz = lamp.head
            dx, dy = x - np.float32(hx), y - np.float32(hy)
            near = np.abs(dx) + np.abs(dy) < LAMP_REACH_M
            if near.any():
                out[near] += lamp_light(dx[near], dy[near], np.float32(hz) - z[near])
        out[self.sky] = 0.0
        return out

    @cached_property
    def lamp_heads(self) -> list[tuple[float, float, float, int]]:
        """Lamp heads in the picture: x and y in px, the px that 0.3 m take there, number in the id pass."""
        if not self.near_lamps:
            return []
        heads = np.array([lamp.head for _, lamp in self.near_lamps])
        pixels, depth = project(self._view, self._size, heads - np.array([0.0, 0.0, 0.1]))
        focal = focal_px(self._view, self._size[0])
        out = []
        for (index, _), (px, py), d in zip(self.near_lamps, pixels.tolist(), depth.tolist(), strict=True):
            inside = 0 <= px < self._size[0] and 0 <= py < self._size[1]
            if d > 1.0 and inside:
                out.append((px, py, focal * 0.3 / d, self._first_lamp + index))
        return out

    @cached_property
    def coarse_ground(self) -> tuple[F32, F32]:
        """x and y in metres of the ground at every second pixel, (H/2, W/2), for headlights to fall on."""
        sample = self.rays[::2, ::2]
        reach = np.minimum(-np.float32(self._view.height_m) / np.minimum(sample[..., 2], -1e-6), FAR_M)
        eye = self._view.eye.astype(np.float32)
        return eye[0] + sample[..., 0] * reach, eye[1] + sample[..., 1] * reach
