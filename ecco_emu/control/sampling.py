"""Frame rate and resolution of a camera for the GPU time that its group gets (paper, section 3.2.1).

A sampling table is profiled offline per camera: GPU level -> (frame rate, resolution). Levels are GPU
micro-windows per retraining window, as c_j is; whole micro-windows are few, so the table is short. At run
time the camera looks up (f*, r*) for c_j and sends at frame rate f*/n_j and resolution r*: its group of n_j
cameras together then sends as many frames as the GPUs can train on.

GPU time is a budget of pixels. In a micro-window a GPU trains on ``gpu_speed * micro`` images of
``REFERENCE_SIZE``, and a picture of w x h pixels costs w * h of them. A level of c micro-windows per window
therefore pays for a rate of pixels (``pixels_per_level``), which frame rate and resolution divide.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.frames import REFERENCE_SIZE

STRIDE_PX = 32
"""Sides are multiples of this: YOLO's coarsest feature map has one cell for 32 x 32 pixels."""
MIN_FPS = 0.05
"""The slowest that a camera samples, whatever f*/n_j is: a frame in 20 s. A frame that is older counts as
evidence for nothing any more, so that a slower camera would have a say in nothing."""
LEAST_FPS = 1.0
"""The default table gives up resolution rather than let a level fall below this frame rate."""
LEAST_PART = 0.5
"""But it keeps this part of each side: in smaller pictures the student does not find small objects."""
_PARTS = (1.0, 0.9, 0.8, 0.7, 0.6, LEAST_PART)


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """A sampling configuration: frames per emulated second and their size in pixels."""

    fps: float
    width: int
    height: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps must be positive, got {self.fps}")
        for side in (self.width, self.height):
            if side < STRIDE_PX or side % STRIDE_PX:
                raise ValueError(f"width and height must be multiples of {STRIDE_PX}, got {side}")


@dataclass(frozen=True, slots=True)
class SamplingTable:
    """The best configuration for each GPU level, levels rising."""

    levels: tuple[tuple[float, SamplingConfig], ...]

    def __post_init__(self) -> None:
        gpu = [level for level, _ in self.levels]
        if not gpu:
            raise ValueError("a sampling table has at least one level")
        if gpu != sorted(set(gpu)) or not all(math.isfinite(level) and level >= 0 for level in gpu):
            raise ValueError("GPU levels must rise, no two alike, none negative")

    def config_for(self, c: float) -> SamplingConfig:
        """The configuration of the highest level that ``c`` GPU micro-windows pay for.

        A ``c`` below the lowest level gets the lowest one: a camera in a job always sends something.
        """
        # p_j comes from a division, so a c_j that should be 2 can arrive as 1.9999999.
        index = bisect_right([level for level, _ in self.levels], c + 1e-6) - 1
        return self.levels[max(0, index)][1]


class TableError(ScenarioError):
    """A sampling table's file says something wrong at ``path``: keys and list indices from its top."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.path = path


def parse_table(profile: Mapping[str, Any]) -> SamplingTable:
    """The table in a profile file's mapping. Raises ``TableError`` that names the wrong entry.

    version: 1
    levels:
      - {gpu: 1, fps: 2, size: [320, 192]}
    """
    if profile.get("version") != 1:
        raise TableError(
            ("version",), f"version: this reads sampling tables of version 1, not {profile.get('version')!r}"
        )
    unknown = set(profile) - {"version", "levels"}
    if unknown:
        raise TableError((min(unknown),), f"{min(unknown)}: a sampling table has version and levels alone")
    entries = profile.get("levels")
    if not isinstance(entries, list):
        raise TableError(("levels",), "levels: must be a list of {gpu, fps, size}")
    levels = tuple(_parse_level(index, entry) for index, entry in enumerate(entries))
    try:
        return SamplingTable(levels)
    except ValueError as error:
        raise TableError(("levels",), f"levels: {error}") from error


def _parse_level(index: int, entry: object) -> tuple[float, SamplingConfig]:
    where = f"levels[{index}]"
    if not isinstance(entry, Mapping) or set(entry) != {"gpu", "fps", "size"}:
        raise TableError(("levels", index), f"{where}: must have exactly gpu, fps and size")
    try:
        width, height = entry["size"]
        return float(entry["gpu"]), SamplingConfig(float(entry["fps"]), int(width), int(height))
    except (TypeError, ValueError) as error:
        raise TableError(("levels", index), f"{where}: {error}") from error


def pixels_per_level(gpu_speed: float, micro_s: float, window_s: float) -> float:
    """Pixels per emulated second that one GPU micro-window per retraining window can train on.

    ``gpu_speed``: images of ``REFERENCE_SIZE`` that a GPU trains on per second; ``micro_s``: length of a
    micro-window, ``window_s`` of a retraining window.

    >>> pixels_per_level(40.0, micro_s=2.0, window_s=20.0) / (320 * 192)
    4.0
    """
    width, height = REFERENCE_SIZE
    return gpu_speed * micro_s / window_s * width * height


_LEVELS = (0.125, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0)
"""Micro-windows per window of the default table. Steps of a half at most: between two levels a camera sends
what the lower one pays for."""


@functools.lru_cache(maxsize=256)  # each assignment of each camera asks for it
def default_table(
    width: int, height: int, pixels_per_s: float, *, passes: float = 1.0, least_fps: float = LEAST_FPS
) -> SamplingTable:
    """For cameras without a profile: frames of the camera's size, as many as the GPU time can train on.

    ``pixels_per_s`` is the budget of one level (``pixels_per_level``). ``passes`` is how often a frame is
    trained on, on average: with 2 half as many frames are sent. A static camera gains more from resolution
    than from frame rate (paper, Fig. 5), so pictures are smaller than ``width`` x ``height`` only where the
    frame rate would fall below ``least_fps``.
    """
    levels = []
    for level in _LEVELS:
        budget = pixels_per_s * level / passes
        columns, rows = _size_within(width, height, budget / least_fps)
        levels.append((level, SamplingConfig(budget / (columns * rows), columns, rows)))
    return SamplingTable(tuple(levels))


def _size_within(width: int, height: int, pixels: float) -> tuple[int, int]:
    """The largest size of so many pixels at most, but at least ``LEAST_PART`` of each side."""
    sizes = [_scaled(width, height, part) for part in _PARTS]
    fitting = (size for size in sizes if size[0] * size[1] <= pixels * (1 + 1e-9))
    return next(fitting, sizes[-1])


def _scaled(width: int, height: int, part: float) -> tuple[int, int]:
    return snap_side(width * part), snap_side(height * part)


def snap_side(side_px: float) -> int:
    """The nearest side that the detector can take, in pixels."""
    return max(STRIDE_PX, round(side_px / STRIDE_PX) * STRIDE_PX)


def stride_for(fps: float, source_fps: float, min_fps: float = MIN_FPS) -> int:
    """The stride k for which every k-th frame of the frame clock makes at most ``fps`` frames per second.

    At least 1, the clock's own rate. Never so large that the rate falls below ``min_fps``, if the clock
    itself is not slower than that.
    """
    # Rounded up, so that the rate is rounded down: the group must not send more than its GPU time trains on.
    wanted = math.ceil(source_fps / fps - 1e-9)
    slowest = math.floor(source_fps / min_fps + 1e-9)
    return max(1, min(wanted, slowest))
