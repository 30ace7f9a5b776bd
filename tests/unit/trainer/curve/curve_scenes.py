"""A small world of sketches: cameras by number, cars that drive by, one weather each or two that fade."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId
from ecco_emu.tasks.detection import Labels, Sample
from ecco_emu.trainer.curve.fit import CurveFit, load_fit
from ecco_emu.world.sketch.picture import Stamp, View, sketch, stamp_of

FPS = 5.0
SIZE = (320, 192)
CAMERAS = (CameraId("a"), CameraId("b"), CameraId("c"))
DAY: Mapping[str, float] = {"day": 1.0}
FOG: Mapping[str, float] = {"fog": 1.0}


def shipped() -> CurveFit:
    """The shipped fit, with small files."""
    return load_fit().model_copy(update={"file_bytes": 2000})


class Scenes:
    """``conditions`` by camera number; day where nothing is said."""

    def __init__(self, conditions: Mapping[int, Mapping[str, float]] | None = None) -> None:
        self.conditions = dict(conditions or {})

    def view(self, image: Image) -> View:
        stamp = stamp_of(image)
        t = stamp.index / FPS
        height, width = image.shape[:2]
        found = cars(stamp.camera, t).scaled(width / SIZE[0], height / SIZE[1])
        return View(CAMERAS[stamp.camera], stamp.index, t, self.conditions.get(stamp.camera, DAY), found)


def cars(camera: int, t: float, count: int = 8) -> Labels:
    """Cars on lanes, each with its own speed and size, all in the picture."""
    number = np.arange(count)
    x = (number * 71 + camera * 37 + t * (6 + number)) % 240
    y = 15 + number * 17
    side = 16 + (number * 5 + camera) % 40
    boxes = np.stack([x, y, x + side, y + 0.7 * side], axis=1).astype(np.float32)
    return Labels(boxes, number.astype(np.int64) % 3)


def sketches(camera: int, indices: range, size: tuple[int, int] = SIZE) -> list[Image]:
    return [sketch(size, Stamp(camera, index)) for index in indices]


def samples(camera: int, indices: range, size: tuple[int, int] = SIZE) -> list[Sample]:
    found = []
    for index, image in zip(indices, sketches(camera, indices, size), strict=True):
        truth = cars(camera, index / FPS).scaled(size[0] / SIZE[0], size[1] / SIZE[1])
        found.append(Sample(CAMERAS[camera], index, index / FPS, image, truth))
    return found
