"""Frames, their labels and what a detector says of them: the values that travel the data path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecco_emu.core.ids import CameraId

CLASSES: tuple[str, ...] = ("car", "truck", "pedestrian")
"""Detection classes, in the order of a student's outputs."""

Image = npt.NDArray[np.uint8]
"""Height x width x 3, RGB."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What is really in a frame: boxes in pixels of that frame.

    ``boxes`` is (N, 4) float32 as x1, y1, x2, y2; ``classes`` is (N,) int64 into ``CLASSES``.
    """

    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.classes)

    def scaled(self, factor_x: float, factor_y: float) -> Labels:
        """The same labels for the frame resized by these factors."""
        scale = np.array([factor_x, factor_y, factor_x, factor_y], dtype=np.float32)
        return Labels(self.boxes * scale, self.classes)

    @staticmethod
    def empty() -> Labels:
        return Labels(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a student sees: boxes (N, 4) float32 px, scores (N,) float32, classes (N,) int64."""

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture a camera took.

    ``index`` numbers the camera's frame clock (``t = index / fps`` in emulated seconds) and is how
    the world's labels are found again on the server.
    """

    camera: CameraId
    index: int
    t: float
    image: Image


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A frame with the teacher's labels, ready to train on or to evaluate with."""

    camera: CameraId
    index: int
    t: float
    image: Image
    labels: Labels
