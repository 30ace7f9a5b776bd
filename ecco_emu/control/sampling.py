"""Frame rate and resolution of a camera for the GPU time that its group gets (paper, section 3.2.1).

A sampling table is profiled offline per camera: GPU level -> (frame rate, resolution). Levels are GPU
micro-windows per retraining window, as c_j is; whole micro-windows are few, so the table is short. At run
time the camera looks up (f*, r*) for c_j and sends at frame rate f*/n_j and resolution r*: its group of n_j
cameras together then sends as many frames as the GPUs can train on.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecco_emu.core.errors import ScenarioError

STRIDE_PX = 32
"""Sides are multiples of this: YOLO's coarsest feature map has one cell for 32 x 32 pixels."""
MIN_FPS = 1.0
"""A video segment is a second long; at a lower rate some segments would hold no frame."""


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


def parse_table(profile: Mapping[str, Any]) -> SamplingTable:
    """The table in a profile file's mapping. Raises ``ScenarioError`` that names the wrong entry.

    version: 1
    levels:
      - {gpu: 1, fps: 2, size: [320, 192]}
    """
    if profile.get("version") != 1:
        raise ScenarioError(
            f"version: this reads sampling tables of version 1, not {profile.get('version')!r}"
        )
    entries = profile.get("levels")
    if not isinstance(entries, list):
        raise ScenarioError("levels: must be a list of {gpu, fps, size}")
    levels = tuple(_parse_level(index, entry) for index, entry in enumerate(entries))
    try:
        return SamplingTable(levels)
    except ValueError as error:
        raise ScenarioError(f"levels: {error}") from error


def _parse_level(index: int, entry: object) -> tuple[float, SamplingConfig]:
    where = f"levels[{index}]"
    if not isinstance(entry, Mapping) or set(entry) != {"gpu", "fps", "size"}:
        raise ScenarioError(f"{where}: must have exactly gpu, fps and size")
    try:
        width, height = entry["size"]
        return float(entry["gpu"]), SamplingConfig(float(entry["fps"]), int(width), int(height))
    except (TypeError, ValueError) as error:
        raise ScenarioError(f"{where}: {error}") from error


_DEFAULT_LEVELS = ((0.0, 1.0, 0.8), (1.0, 2.0, 1.0), (2.0, 4.0, 1.0), (4.0, 8.0, 1.0), (8.0, 16.0, 1.0))
"""GPU level, frames per second, fraction of the source's sides. ``default_table`` says why these."""


def default_table(width: int, height: int, top_fps: float = 64.0) -> SamplingTable:
    """For cameras without a profile: 2 frames per second for each GPU micro-window, at the source's size.

    A static camera gains more from resolution than from frame rate (paper, Fig. 5), so the size is reduced
    only below one micro-window. Levels double until ``top_fps``. That is more than one camera delivers,
    because the members of a group divide the rate among them.
    """
    levels = [(gpu, SamplingConfig(fps, *_scaled(width, height, part))) for gpu, fps, part in _DEFAULT_LEVELS]
    while (last := levels[-1])[1].fps * 2 <= top_fps:
        levels.append((last[0] * 2, SamplingConfig(last[1].fps * 2, last[1].width, last[1].height)))
    return SamplingTable(tuple(levels))


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
