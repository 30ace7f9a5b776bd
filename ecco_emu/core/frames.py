"""Frames: the pictures that travel the data path. Their labels belong to a task (``tasks``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecco_emu.core.ids import CameraId

Image = npt.NDArray[np.uint8]
"""Height x width x 3, RGB."""

REFERENCE_SIZE = (320, 192)
"""Width and height in pixels of the image that GPU budgets are counted in. Training on a picture costs its
pixels over this image's: convolutions take time in proportion to pixels."""


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
