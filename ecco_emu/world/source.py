"""The interface of a world: everything that the rest of the system sees of it.

The rest of the system does not know how a world makes its pictures. It does not know districts or weather
either: a world names its conditions, and others compare those names or write them down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId
from ecco_emu.tasks.detection import Labels


@dataclass(frozen=True, slots=True, order=True)
class ConditionChange:
    """From a time on, the pictures of a camera are taken under another condition."""

    t: float
    """Emulated second at which the change begins; 0 for the condition that a run begins with."""
    place: str
    """The part of the world that the camera sees then, a town's district for example."""
    condition: str
    """The condition's name, a weather for example."""


class World(Protocol):
    """Frames and their truth. A frame is a function of camera and index alone.

    It is the same picture whoever asks for it, however often and in whatever order.
    All calls but ``start`` and ``close`` raise ``KeyError`` for an unknown camera.
    """

    async def start(self) -> None:
        """Makes the world ready to give frames. Raises ``HostError`` where this host cannot."""
        ...

    async def close(self) -> None:
        """Gives everything back. A frame that is still awaited is cancelled."""
        ...

    async def frame(self, camera: CameraId, index: int) -> Frame:
        """The camera's frame number ``index``, taken at ``index`` / its fps emulated seconds.

        Raises ``HostError`` when the world cannot go on.
        """
        ...

    def labels(self, camera: CameraId, index: int) -> Labels:
        """The true labels of a frame that was handed out recently, boxes in that frame's pixels.

        Raises ``KeyError`` for a frame that was never handed out, or too long ago.
        """
        ...

    def position(self, camera: CameraId, t: float) -> tuple[float, float]:
        """The camera's place at emulated second ``t``: x and y in metres, in the world's own axes.

        Grouping compares distances between cameras (paper, Algorithm 2), so all cameras of a world
        share one origin.
        """
        ...

    def condition(self, camera: CameraId, t: float) -> str:
        """The name of the camera's condition at emulated second ``t``: the new one once a change begins."""
        ...

    def condition_changes(self, camera: CameraId) -> Sequence[ConditionChange]:
        """All conditions that the camera will have, in order of time; the first is at 0."""
        ...

    def settled(self, camera: CameraId, t: float) -> bool:
        """False while one condition of the camera fades into another."""
        ...
