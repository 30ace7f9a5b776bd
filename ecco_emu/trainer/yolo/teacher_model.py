"""The teacher as the paper has it: a YOLO11x that knows COCO, run in the training process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ultralytics.nn.tasks import DetectionModel, load_checkpoint

from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.frames import Image
from ecco_emu.tasks.detection import COCO_CLASSES, Detections, Labels
from ecco_emu.trainer.weight_files import STRIDE
from ecco_emu.trainer.yolo.detect import detect
from ecco_emu.trainer.yolo.student import DEFAULT_SIZE

MIN_SCORE = 0.4
"""Detections with a lower confidence become no labels."""
MIN_WIDTH_PX = 640
"""Smaller pictures are enlarged to it: the teacher was trained at this size."""


class TeacherModel:
    """Labels pictures with an Ultralytics weight file.

    Such a file is a pickle, as published by Ultralytics: it must come from somewhere you trust. It is
    read from this machine's disk only, never from the network.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        try:
            model, _ = load_checkpoint(path, device=device)
        except Exception as error:
            # unpickling a foreign file may raise anything, and in each case the scenario named the wrong file
            raise ScenarioError(f"{path} is not an Ultralytics weight file: {error}") from error
        # another task's model gives other results: not an error until a frame's labels are taken from them
        if type(model) is not DetectionModel:
            raise ScenarioError(f"{path} holds a {type(model).__name__}, not a DetectionModel")
        self._model = model.eval()
        self._class_of = np.full(len(model.names), -1, np.int64)
        for number, name in model.names.items():
            self._class_of[number] = COCO_CLASSES.get(name, -1)
        if (self._class_of < 0).all():
            wanted = ", ".join(COCO_CLASSES)
            raise ScenarioError(f"{path} knows none of {wanted}: take weights trained on COCO")
        try:
            self.label([np.zeros((*reversed(DEFAULT_SIZE), 3), np.uint8)])
        except Exception as error:  # the first frame of the run would raise it, in the middle
            raise ScenarioError(f"{path} cannot label a picture: {error}") from error

    def label(self, images: Sequence[Image]) -> list[Labels]:
        """Labels of pictures that all have one size, boxes in their pixels."""
        if not images:
            return []
        found = detect(self._model, images, input_size(images[0]), min_score=MIN_SCORE, best_class_only=True)
        return [self._labels(each) for each in found]

    def _labels(self, found: Detections) -> Labels:
        classes = self._class_of[found.classes]
        return Labels(found.boxes[classes >= 0], classes[classes >= 0])


def input_size(image: Image) -> tuple[int, int]:
    """The teacher's input (width, height) for a picture, sides rounded up to multiples of the stride.

    It has the picture's proportions and is at least ``MIN_WIDTH_PX`` wide.
    """
    height, width = image.shape[:2]
    factor = max(1.0, MIN_WIDTH_PX / width)
    return _up(width * factor), _up(height * factor)


def _up(side: float) -> int:
    return int(np.ceil(side / STRIDE)) * STRIDE
