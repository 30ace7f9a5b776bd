"""A sketch: a picture that is not drawn. It has a picture's size and says which frame it stands for.

So everything that handles pictures handles sketches too, and whoever knows the world can tell what would be
seen in one.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId
from ecco_emu.tasks.detection import Labels

_STAMP = struct.Struct("<4sHI")
_MAGIC = b"skch"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a sketch says of itself."""

    camera: int
    """The camera's place in the scenario's list, from 0."""
    index: int
    """The frame's number on the camera's frame clock."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What would be seen in a sketch."""

    camera: CameraId
    index: int
    t: float
    """Emulated second at which the frame was taken."""
    conditions: Mapping[str, float]
    """The camera's conditions by name with their parts, which sum to 1: two while one fades into another."""
    labels: Labels
    """The true labels, boxes in the sketch's own pixels."""


def sketch(size: tuple[int, int], stamp: Stamp) -> Image:
    """A picture of this size (width and height in pixels, at least 4 wide) that bears a stamp.

    It cannot be written to: all its rows are one row in memory, so that thousands of sketches fit in there.
    """
    width, height = size
    row = _STAMP.pack(_MAGIC, stamp.camera, stamp.index).ljust(width * 3, b"\0")
    return np.broadcast_to(np.frombuffer(row, np.uint8).reshape(width, 3), (height, width, 3))


def stamp_of(image: Image) -> Stamp:
    """Raises ``ValueError`` if the picture is no sketch."""
    raw = image[0].tobytes()[: _STAMP.size] if len(image) else b""
    if len(raw) < _STAMP.size or not raw.startswith(_MAGIC):
        raise ValueError("this picture is no sketch")
    _, camera, index = _STAMP.unpack(raw)
    return Stamp(camera, index)
