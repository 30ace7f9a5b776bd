"""Which frame rate and resolution a camera samples at for the GPU time its group gets (paper section 3.2.1).

A sampling table is profiled offline per camera: GPU level -> (frame rate, resolution). Levels are GPU
micro-windows per retraining window, as c_j is. At run time the camera looks up (f*, r*) for c_j and
sends at f*/n_j, r*, so that its group of n_j cameras together sends what the GPU can train on.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecco_emu.core.errors import ScenarioError

STRIDE_PX = 32
"""Sides are multiples of this, the detector's stride."""
MIN_FPS = 1.0
"""A video segment is a second long; below this some would hold no frame."""


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
    """The best configuration by GPU level, levels rising."""

    levels: tuple[tuple[float, SamplingConfig], ...]

    def __post_init__(self) -> None:
        gpu = [level for level, _ in self.levels]
        if not gpu:
            raise ValueError("a sampling table has at least one level")
        if gpu != sorted(set(gpu)) or not all(math.isfinite(level) and level >= 0 for level in gpu):
            raise ValueError("GPU levels must rise, no two alike, none negative")

    def config_for(self, c: float) -> SamplingConfig:
        """The configuration of the highest level that ``c`` GPU micro-windows pay for.

        Less than the lowest level gets the lowest: a camera in a job always sends something.
        """
        # A c_j of 1.9999999 is 2 that went through a division.
        index = bisect_right([level for level, _ in self.levels], c + 1e-6) - 1
        return self.levels[max(0, index)][1]


def parse_table(profile: Mapping[str, Any]) -> SamplingTable:
    """A table from a profile file's mapping. Raises ``ScenarioError`` that names the entry.

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
"""GPU level, fps, fraction of the source's side."""


def default_table(width: int, height: int, top_fps: float = 64.0) -> SamplingTable:
    """For cameras without a profile: 2 frames per second for each GPU micro-window, at the source's size.

    Town cameras are static, and a static camera gains more from resolution than from frame rate
    (paper Fig. 5); so size goes down only at the very bottom. ``top_fps`` ends the doubling; a group's
    frame rate exceeds one camera's because its members divide it.
    """
    levels = [(gpu, SamplingConfig(fps, *_scaled(width, height, part))) for gpu, fps, part in _DEFAULT_LEVELS]
    while (last := levels[-1])[1].fps * 2 <= top_fps:
        levels.append((last[0] * 2, SamplingConfig(last[1].fps * 2, last[1].width, last[1].height)))
    return SamplingTable(tuple(levels))


def _scaled(width: int, height: int, part: float) -> tuple[int, int]:
    return snap_side(width * part), snap_side(height * part)


def snap_side(side_px: float) -> int:
    """The nearest side that the detector can take."""
    return max(STRIDE_PX, round(side_px / STRIDE_PX) * STRIDE_PX)


def stride_for(fps: float, source_fps: float, min_fps: float = MIN_FPS) -> int:
    """Which every-how-many-th frame of the clock to take for at most ``fps`` frames per second.

    At least 1 (the clock's own rate) and never so large that the rate falls below ``min_fps``, as far
    as the clock allows that.
    """
    wanted = math.ceil(source_fps / fps - 1e-9)
    slowest = math.floor(source_fps / min_fps + 1e-9)
    return max(1, min(wanted, slowest))
