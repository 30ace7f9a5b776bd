"""What a camera sends for what its group was given: sampling configuration and GAIMD alpha (section 3.2).

Compression is not decided here: the encoder follows the rate that congestion control allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ecco_emu.control.sampling import MIN_FPS, SamplingTable, default_table, snap_side, stride_for
from ecco_emu.control.shares import ALPHA_SUM, AlphaMapping, gaimd_alpha

FIXED_FPS = 5.0
FIXED_ALPHA = 1.0
MIN_WEIGHT = 1e-4
"""A group with no share at all still gets a ten-thousandth: its cameras must be heard."""


@dataclass(frozen=True, slots=True)
class CameraLimits:
    """What a camera can deliver at most: its frame clock (frames per emulated second) and size in pixels."""

    fps: float
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class TransmissionPlan:
    """What the camera does until it is told otherwise."""

    fps: float
    """Always ``source.fps / stride``."""
    width: int
    height: int
    alpha: float
    """GAIMD's additive increase, packets per round-trip time."""
    stride: int
    """Every how many frames of the frame clock one is sent."""


class TransmissionRule(Protocol):
    """How cameras turn (c_j, p_j, n_j) into a plan."""

    def plan(self, c: float, p: float, members: int, source: CameraLimits) -> TransmissionPlan: ...

    def weight(self, p: float, members: int) -> float | None:
        """The part of the bandwidth that the server holds a camera to; None: whatever its alpha brings."""


@dataclass(frozen=True, slots=True)
class GpuProportional:
    """ECCO: f*/n_j and r* from the sampling table, alpha in proportion to the GPU share.

    ``table`` None: the default table for the camera's own size.
    """

    table: SamplingTable | None = None
    alpha_sum: float = ALPHA_SUM
    mapping: AlphaMapping = "linear"
    min_fps: float = MIN_FPS

    def plan(self, c: float, p: float, members: int, source: CameraLimits) -> TransmissionPlan:
        alpha = gaimd_alpha(p, members, alpha_sum=self.alpha_sum, mapping=self.mapping)
        table = self.table or default_table(source.width, source.height)
        best = table.config_for(c)
        stride = stride_for(best.fps / members, source.fps, self.min_fps)
        width, height = min(best.width, source.width), min(best.height, source.height)
        return TransmissionPlan(source.fps / stride, width, height, alpha, stride)

    def weight(self, p: float, members: int) -> float | None:
        return max(p / members, MIN_WEIGHT) if self.mapping == "auto" else None


@dataclass(frozen=True, slots=True)
class FixedTransmission:
    """Baselines and the ablation: one sampling configuration and AIMD(1, 0.5) for every camera."""

    fps: float = FIXED_FPS
    scale: float = 1.0
    """Of the source's sides."""
    alpha: float = FIXED_ALPHA

    def plan(self, c: float, p: float, members: int, source: CameraLimits) -> TransmissionPlan:
        stride = stride_for(self.fps, source.fps)
        width = min(source.width, snap_side(source.width * self.scale))
        height = min(source.height, snap_side(source.height * self.scale))
        return TransmissionPlan(source.fps / stride, width, height, self.alpha, stride)

    def weight(self, p: float, members: int) -> float | None:
        return None
