"""The teachers that label the frames which reach the server. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId
from ecco_emu.tasks.detection import Labels
from ecco_emu.trainer.backend import TeacherHost


class Teacher(Protocol):
    """Labels frames that crossed the network, for the trainer to learn from."""

    async def label(self, camera: CameraId, index: int, image: Image) -> Labels:
        """Labels of a camera's frame number ``index``, boxes in the pixels of ``image`` (height, width, 3).

        ``image`` is the decoded picture, which may be smaller than the frame that the camera took.
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

    async def label(self, camera: CameraId, index: int, image: Image) -> Labels:
        truth = self._labels(camera, index)
        if self._sizes is None:
            return truth
        width, height = self._sizes(camera)
        if (height, width) == image.shape[:2]:
            return truth
        return truth.scaled(image.shape[1] / width, image.shape[0] / height)


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

    async def label(self, camera: CameraId, index: int, image: Image) -> Labels:
        return (await self._trainer.label([image]))[0]
