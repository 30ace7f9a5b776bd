"""What the rest of the system sees of a world."""

from __future__ import annotations

from typing import Protocol

from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId
from ecco_emu.tasks.detection import Labels


class World(Protocol):
    """Frames and their truth. A frame is a function of camera and index, whoever asks, in any order."""

    @property
    def fps(self) -> float:
        """The fastest frame clock of all cameras."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels that hold every camera's pictures."""
        ...

    async def start(self) -> None:
        """Makes the world ready to give frames."""
        ...

    async def close(self) -> None:
        """Gives everything back; frames still awaited are cancelled."""
        ...

    async def frame(self, camera: CameraId, index: int) -> Frame:
        """The camera's frame number ``index``, taken at ``index`` / its fps emulated seconds.

        Raises ``KeyError`` for an unknown camera and ``HostError`` when the world cannot go on.
        """
        ...

    def labels(self, camera: CameraId, index: int) -> Labels:
        """What is truly in a frame handed out recently, in that frame's pixels.

        Raises ``KeyError`` for a frame never handed out, or too long ago.
        """
        ...

    def weather(self, camera: CameraId, t: float) -> str:
        """The weather that the camera's district has at ``t``, or fades to."""
        ...

    def settled(self, camera: CameraId, t: float) -> bool:
        """False while one weather fades into another before this camera."""
        ...

    def district(self, camera: CameraId) -> str:
        """The name of the district whose weather the camera sees."""
        ...
