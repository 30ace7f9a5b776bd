"""A synthetic street as the encoder's input: moving edges, smooth shading, and grain as of a sensor. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter

from ecco_emu.core.frames import Image

_SCALE = 2
"""Pictures are drawn larger and then reduced, which gives them the antialiased edges of a renderer."""
_BUILDINGS, _CARS = 24, 16


@dataclass(frozen=True, slots=True)
class _Car:
    start: float
    """Where its left edge is at first, in drawn pixels."""
    y: float
    speed: float
    """Drawn pixels per second."""
    paint: tuple[int, ...]
    length: float


def street(width: int, height: int, fps: float, count: int, seed: int, grain: float = 1.5) -> list[Image]:
    """``count`` pictures of (height, width, 3) at ``fps`` pictures a second. ``grain``: the standard
    deviation of the noise, in levels of 255. The same arguments give the same pictures."""
    rng = np.random.default_rng(seed)
    size = (width * _SCALE, height * _SCALE)
    ground = _ground(size, rng, (height // 6 + 2, width // 6 + 2))
    cars = [_car(size, rng) for _ in range(_CARS)]
    pictures = []
    for index in range(count):
        picture = ground.copy()
        draw = ImageDraw.Draw(picture)
        for car in cars:
            _draw_car(draw, car, (car.start + car.speed * index / fps) % size[0])
        small = picture.filter(ImageFilter.GaussianBlur(1)).resize((width, height), Pillow.Resampling.BOX)
        noisy = np.asarray(small, np.float32) + rng.normal(0, grain, (height, width, 1))
        pictures.append(noisy.clip(0, 255).astype(np.uint8))
    return pictures


def _ground(size: tuple[int, int], rng: np.random.Generator, cells: tuple[int, int]) -> Pillow.Image:
    """A shaded ground with buildings. ``cells``: rows and columns of the shading."""
    texture = rng.normal(0, 1, (*cells, 1)).repeat(3, axis=2)
    ground = Pillow.fromarray((120 + 25 * texture).clip(0, 255).astype(np.uint8)).resize(size)
    draw = ImageDraw.Draw(ground)
    for _ in range(_BUILDINGS):
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1] * 0.3)
        shade = tuple(int(v) for v in rng.integers(90, 180) + rng.integers(-20, 20, 3))
        draw.rectangle([x, y, x + size[0] / 10, y + size[1] / 5], fill=shade)
    return ground


def _car(size: tuple[int, int], rng: np.random.Generator) -> _Car:
    return _Car(
        start=rng.uniform(0, size[0]),
        y=rng.uniform(0.4, 0.9) * size[1],
        speed=rng.uniform(-0.25, 0.25) * size[0],
        paint=tuple(int(v) for v in rng.integers(40, 200, 3)),
        length=rng.uniform(0.04, 0.1) * size[0],
    )


def _draw_car(draw: ImageDraw.ImageDraw, car: _Car, x: float) -> None:
    y, length = car.y, car.length
    draw.rectangle([x, y, x + length, y + length / 2], fill=car.paint)
    draw.rectangle([x + length / 5, y, x + length * 4 / 5, y + length / 5], fill=(40, 50, 60))
