"""Small pictures a detector can learn: coloured boxes on grey, one colour per class."""

from __future__ import annotations

import numpy as np

from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId
from ecco_emu.tasks.detection import Detections, Labels, Sample

COLOURS = ((220, 40, 40), (40, 40, 220), (40, 220, 40))
SHAPES = ((32, 20), (44, 30), (14, 30))


def picture(random: np.random.Generator, size: tuple[int, int] = (128, 96)) -> tuple[Image, Labels]:
    width, height = size
    image = np.full((height, width, 3), 100, np.uint8)
    image += random.integers(0, 20, image.shape, dtype=np.uint8)
    boxes, classes = [], []
    for _ in range(2):
        cls = int(random.integers(3))
        box_width, box_height = SHAPES[cls]
        x, y = int(random.integers(width - box_width)), int(random.integers(height - box_height))
        image[y : y + box_height, x : x + box_width] = COLOURS[cls]
        boxes.append((x, y, x + box_width, y + box_height))
        classes.append(cls)
    return image, labels(boxes, classes)


def samples(camera: str, count: int, *, seed: int = 0, first: int = 0) -> list[Sample]:
    random = np.random.default_rng(seed)
    found = []
    for index in range(first, first + count):
        image, truth = picture(random)
        found.append(Sample(CameraId(camera), index, index / 10, image, truth))
    return found


def labels(boxes: object, classes: list[int]) -> Labels:
    return Labels(np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int64))


def detections(boxes: object, classes: list[int], scores: list[float]) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(classes, np.int64),
    )
