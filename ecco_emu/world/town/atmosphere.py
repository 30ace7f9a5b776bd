"""Weather, light at night and the sensor: from a picture in full light to the one that a camera takes.

Works on whole pictures with numpy, given the object at every pixel and its distance. ``out`` is always the
picture (H, W, 3) as float32 in 0..255, changed in place; ``ids`` (H, W) is the id pass of ``stage``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ecco_emu.core.frames import Image
from ecco_emu.core.random_streams import stream
from ecco_emu.world.town.arrays import F32
from ecco_emu.world.town.backdrop import Backdrop, lamp_light
from ecco_emu.world.town.boxes import distances
from ecco_emu.world.town.layout import Layout
from ecco_emu.world.town.looks import Look
from ecco_emu.world.town.streets import PEDESTRIAN, SIZES
from ecco_emu.world.town.traffic import Poses
from ecco_emu.world.town.views import Viewpoint, focal_px, project

_LAMP_COLOR = np.array([1.0, 0.80, 0.50], np.float32)
_HEADLIGHT_COLOR = np.array([1.0, 0.95, 0.82], np.float32)
_TAILLIGHT_COLOR = np.array([1.0, 0.10, 0.06], np.float32)
_WINDOW_COLOR = np.array([0.95, 0.74, 0.38], np.float32) * 0.85
_LAMP_GAIN = 0.70
_BEAM_GAIN = 0.5
_BEAM_REACH_M = 70.0
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_MARGIN = 64
"""Noise and streaks are made once, this many pixels larger than a picture, and each picture is given another
part of them."""


class Atmosphere:
    """Applies looks to pictures of one size (width, height) in one town."""

    def __init__(self, layout: Layout, size: tuple[int, int], seed: int) -> None:
        self._layout = layout
        self._size = size
        rng = stream(seed, "atmosphere")
        shape = (size[1] + _MARGIN, size[0] + _MARGIN)
        luma = rng.standard_normal((*shape, 1), dtype=np.float32)
        self._noise = 0.8 * luma + 0.6 * rng.standard_normal((*shape, 3), dtype=np.float32)
        self._streaks = _streaks(shape, rng)
        self._lamp_heads = np.array([lamp.head for lamp in layout.lamps], np.float32).reshape(-1, 3)

    def apply(
        self,
        picture: Image,
        ids: npt.NDArray[np.int32],
        backdrop: Backdrop,
        view: Viewpoint,
        poses: Poses,
        look: Look,
        noise_key: int,
    ) -> Image:
        """The picture (H, W, 3) as the camera takes it in this look.

        The order is that of the light: from its source to the object, through haze, into the sensor.
        """
        out: F32 = picture.astype(np.float32)
        self._illuminate(out, ids, backdrop, poses, look)
        self._paint_sky(out, ids, backdrop, look)
        if look.haze_per_m > 0:
            self._haze(out, ids, backdrop, view, poses, look)
        if look.lamps > 0:
            self._glow(out, ids, backdrop, view, poses, look.lamps)
        if look.saturation != 1.0:
            grey = (out @ _LUMA)[..., None]
            out -= grey
            out *= np.float32(look.saturation)
            out += grey
        if look.contrast != 1.0:
            out -= 118.0  # mid grey
            out *= np.float32(look.contrast)
            out += 118.0
        return self._sense(out, look, noise_key)

    def _illuminate(
        self, out: F32, ids: npt.NDArray[np.int32], backdrop: Backdrop, poses: Poses, look: Look
    ) -> None:
        sky_light = np.array(look.light, np.float32)
        if look.lamps <= 0:  # the common case, by day: nothing else shines
            out *= sky_light
            return
        lamps = np.where(ids == 0, backdrop.lamp_map + self._beams(backdrop, poses), backdrop.lamp_map)
        count = len(self._layout.movers)
        moving = (ids > 0) & (ids <= count)
        # a mover is lit evenly: how far away its surface is, is not known pixel by pixel
        lamps[moving] = self._light_on_movers(poses)[ids[moving] - 1]
        strength = np.minimum(lamps, 1.6) * np.float32(look.lamps * _LAMP_GAIN)
        out *= sky_light + strength[..., None] * _LAMP_COLOR
        windows = backdrop.lit & (ids > count)
        out[windows] = out[windows] * (1 - look.lamps) + 255 * look.lamps * _WINDOW_COLOR

    def _light_on_movers(self, poses: Poses) -> F32:
        """The light of street lamps on every mover, (N,), 1 right below a lamp."""
        if len(self._lamp_heads) == 0 or len(poses.x) == 0:
            return np.zeros(len(poses.x), np.float32)
        dx = poses.x.astype(np.float32)[:, None] - self._lamp_heads[:, 0]
        dy = poses.y.astype(np.float32)[:, None] - self._lamp_heads[:, 1]
        light = lamp_light(dx, dy, np.full_like(dx, 5.0))
        return np.asarray(light.sum(axis=1) * 0.85, dtype=np.float32)

    def _driving(self) -> npt.NDArray[np.int64]:
        """Indices of the vehicles that drive: these have their lights on."""
        movers = self._layout.movers
        return np.flatnonzero((movers.kinds < PEDESTRIAN) & (movers.ring >= 0))

    def _beams(self, backdrop: Backdrop, poses: Poses) -> F32:
        """Light of headlights on the ground, (H, W), in units of a street lamp's light.

        Computed at every second pixel only, which does not show: beams have soft edges.
        """
        x, y = backdrop.coarse_ground
        out = np.zeros(x.shape, np.float32)
        eye = backdrop.eye
        for index in self._driving().tolist():
            px, py = poses.x[index], poses.y[index]
            if (px - eye[0]) ** 2 + (py - eye[1]) ** 2 > _BEAM_REACH_M**2:
                continue
            near = (np.abs(x - px) < 18) & (np.abs(y - py) < 18)
            if not near.any():
                continue
            cos, sin = np.cos(poses.heading[index]), np.sin(poses.heading[index])
            dx, dy = x[near] - np.float32(px), y[near] - np.float32(py)
            ahead, beside = (
                dx * np.float32(cos) + dy * np.float32(sin),
                dy * np.float32(cos) - dx * np.float32(sin),
            )
            width = 0.9 + 0.16 * np.maximum(ahead, 0)
            beam = np.exp(-(((ahead - 6.5) / 4.5) ** 2) - (beside / width) ** 2)
            out[near] += np.where(ahead > 2.2, beam, 0.0)
        full = out.repeat(2, axis=0).repeat(2, axis=1)
        return np.asarray(full * np.float32(_BEAM_GAIN / _LAMP_GAIN * 1.6), dtype=np.float32)

    def _paint_sky(self, out: F32, ids: npt.NDArray[np.int32], backdrop: Backdrop, look: Look) -> None:
        clear = backdrop.sky & (ids == 0)
        low, high = np.array(look.sky, np.float32), np.array(look.zenith, np.float32)
        share = backdrop.altitude[clear]
        out[clear] = 255 * (low * (1 - share) + high * share)

    def _haze(
        self,
        out: F32,
        ids: npt.NDArray[np.int32],
        backdrop: Backdrop,
        view: Viewpoint,
        poses: Poses,
        look: Look,
    ) -> None:
        distance = backdrop.distance
        moving = (ids > 0) & (ids <= len(self._layout.movers))
        if moving.any():  # the backdrop's distances are of what stands behind the movers
            distance = distance.copy()
            distance[moving] = distances(view, poses).astype(np.float32)[ids[moving] - 1]
        kept = np.exp(distance * np.float32(-look.haze_per_m))[..., None]
        haze = 255 * np.array(look.haze, np.float32)
        out -= haze
        out *= kept
        out += haze

    def _glow(
        self,
        out: F32,
        ids: npt.NDArray[np.int32],
        backdrop: Backdrop,
        view: Viewpoint,
        poses: Poses,
        strength: float,
    ) -> None:
        """Lamp heads, headlights, tail lights: small bright spots with a halo, where nothing hides them."""
        for x, y, radius, number in backdrop.lamp_heads:
            # 0 too: a far lamp is thinner than a pixel, and the id pass may miss it
            if ids[int(y), int(x)] in (number, 0):
                _spot(out, x, y, 1.2 + radius * 1.3, 255 * strength * _LAMP_COLOR)
        vehicles = self._driving()
        if len(vehicles) == 0:
            return
        for points, owners, color in self._vehicle_lights(view, poses, vehicles):
            pixels, depth = project(view, self._size, points)
            focal = focal_px(view, self._size[0])
            for (x, y), d, owner in zip(pixels.tolist(), depth.tolist(), owners.tolist(), strict=True):
                # beyond 150 m a light is smaller than a pixel
                if d < 1.0 or d > 150.0 or not (0 <= x < self._size[0] and 0 <= y < self._size[1]):
                    continue
                if _near(ids, x, y, owner + 1):
                    _spot(out, x, y, 1.0 + focal * 0.2 / d, 255 * strength * color)

    def _vehicle_lights(
        self, view: Viewpoint, poses: Poses, vehicles: npt.NDArray[np.int64]
    ) -> list[tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], F32]]:
        """The lights that face the camera: points (M, 3), indices of their vehicles (M,), and the colour.

        Headlights come first, then tail lights.
        """
        kinds = self._layout.movers.kinds[vehicles]
        extents = np.array([SIZES["car"], SIZES["truck"]])[kinds]
        heading = poses.heading[vehicles]
        ahead = np.stack([np.cos(heading), np.sin(heading)], axis=1)
        left = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1)
        center = np.stack([poses.x[vehicles], poses.y[vehicles]], axis=1)
        out = []
        for end, color in ((1.0, _HEADLIGHT_COLOR), (-1.0, 0.7 * _TAILLIGHT_COLOR)):
            middle = center + ahead * extents[:, :1] / 2 * end
            facing = ((np.array(view.at) - middle) * ahead * end).sum(axis=1) > 0
            points = []
            for side in (-1.0, 1.0):
                flat = middle + left * (extents[:, 1:2] / 2 - 0.25) * side
                points.append(np.column_stack([flat, np.where(kinds == 0, 0.66, 0.83)])[facing])
            out.append((np.concatenate(points), np.tile(vehicles[facing], 2), color.astype(np.float32)))
        return out

    def _sense(self, out: F32, look: Look, noise_key: int) -> Image:
        """Adds the rain before the lens and the sensor's noise, and rounds to eight bits."""
        height, width = out.shape[:2]
        rng = np.random.default_rng(noise_key & 0xFFFFFFFFFFFF)
        row, column, rain_row, rain_column = rng.integers(0, _MARGIN, 4).tolist()
        if look.rain > 0:
            streaks = self._streaks[rain_row : rain_row + height, rain_column : rain_column + width, None]
            out += streaks * np.float32(look.rain * 0.42) * (205.0 - out)
        sign = 1.0 if rng.random() < 0.5 else -1.0  # twice as many noises from the same array
        noise = self._noise[row : row + height, column : column + width]
        out += noise * np.float32(look.noise * sign)
        return np.clip(out, 0, 255, out=out).astype(np.uint8)


def _near(ids: npt.NDArray[np.int32], x: float, y: float, number: int) -> bool:
    """Whether an object is seen at a point or at one of the eight pixels around it."""
    row, column = int(y), int(x)
    around = ids[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
    return bool((around == number).any())


def _spot(out: F32, x: float, y: float, radius: float, color: F32) -> None:
    """Adds a bright spot of about this radius, with a halo three times as wide."""
    reach = int(radius * 3) + 1
    x0, x1 = max(0, int(x) - reach), min(out.shape[1], int(x) + reach + 1)
    y0, y1 = max(0, int(y) - reach), min(out.shape[0], int(y) + reach + 1)
    if x0 >= x1 or y0 >= y1:
        return
    dx = (np.arange(x0, x1, dtype=np.float32) + 0.5 - np.float32(x))[None, :]
    dy = (np.arange(y0, y1, dtype=np.float32) + 0.5 - np.float32(y))[:, None]
    square = (dx * dx + dy * dy) / np.float32(radius * radius)
    light = np.exp(-1.4 * square) + 0.16 * np.exp(-0.35 * square)
    out[y0:y1, x0:x1] += light[..., None] * color


def _streaks(shape: tuple[int, int], rng: np.random.Generator) -> F32:
    """Falling drops as slanted lines (H, W), 0..1."""
    height, width = shape
    out = np.zeros(shape, np.float32)
    for _ in range(height * width // 260):
        x, y = rng.uniform(0, width), rng.uniform(-20, height)
        length, bright = int(rng.integers(7, 20)), rng.uniform(0.25, 1.0)
        ys = np.arange(length) + int(y)
        xs = (x + 0.22 * np.arange(length)).astype(int)
        inside = (ys >= 0) & (ys < height) & (xs >= 0) & (xs < width)
        fade = np.sin(np.linspace(0.3, np.pi - 0.3, length)) * bright
        out[ys[inside], xs[inside]] = np.maximum(out[ys[inside], xs[inside]], fade[inside])
    return out
