"""The teachers that label the frames which reach the server. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId
from ecco_emu.tasks.detection import Labels
from ecco_emu.trainer.backend import TeacherHost


class Teacher(Protocol):
    """Labels frames that crossed the network, for the trainer to learn from."""

    async def label(self, camera: CameraId, frames: Sequence[Frame]) -> list[Labels]:
        """Labels of a camera's frames, boxes in the pixels of each frame's picture.

        The pictures are decoded ones, which may be smaller than the frames that the camera took.
        """
        ...


class OracleTeacher:
    """Knows the truth: the world's own labels, scaled to the picture that arrived.

    ``labels`` gives a frame's labels in the frame's own pixels, ``sizes`` a camera's frame size (width,
    height in pixels). Without ``sizes`` every picture is taken to have the frame's size.
    """

    def __init__(
        self,
        labels: Callable[[CameraId, int], Labels],
        sizes: Callable[[CameraId], tuple[int, int]] | None = None,
    ) -> None:
        self._labels = labels
        self._sizes = sizes

    async def label(self, camera: CameraId, frames: Sequence[Frame]) -> list[Labels]:
        return [self._label(camera, frame) for frame in frames]

    def _label(self, camera: CameraId, frame: Frame) -> Labels:
        truth = self._labels(camera, frame.index)
        if self._sizes is None:
            return truth
        width, height = self._sizes(camera)
        found_height, found_width = frame.image.shape[:2]
        if (found_height, found_width) == (height, width):
            return truth
        return truth.scaled(found_width / width, found_height / height)


class YoloTeacher:
    """A YOLO11x from a weight file, run in the training process between micro-windows."""

    def __init__(self, path: str | Path, trainer: TeacherHost) -> None:
        self._path = Path(path)
        self._trainer = trainer
        if not self._path.is_file():
            raise ScenarioError(
                f"trainer.teacher: no weight file at {self._path}; download yolo11x.pt from Ultralytics' "
                "releases and give its path, or write 'teacher: oracle' to use the world's own labels"
            )

    async def start(self) -> None:
        """Loads the weights. Raises ``ScenarioError`` if they are not a detector that knows COCO."""
        await self._trainer.load_teacher(self._path)

    async def label(self, camera: CameraId, frames: Sequence[Frame]) -> list[Labels]:
        # pictures of one size go through the model together
        by_size: dict[tuple[int, ...], list[int]] = {}
        for place, frame in enumerate(frames):
            by_size.setdefault(frame.image.shape, []).append(place)
        labels = [Labels.empty()] * len(frames)
        for places in by_size.values():
            found = await self._trainer.label([frames[place].image for place in places])
            for place, each in zip(places, found, strict=True):
                labels[place] = each
        return labels
