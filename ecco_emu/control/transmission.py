"""A camera's sampling configuration and GAIMD alpha for the GPU time of its group (paper, section 3.2).

Compression is not decided here: the encoder follows the rate that congestion control allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ecco_emu.control.sampling import MIN_FPS, SamplingTable, default_table, snap_side, stride_for
from ecco_emu.control.shares import ALPHA_SUM, AlphaMapping, gaimd_alpha
from ecco_emu.core.frames import REFERENCE_SIZE
from ecco_emu.core.ids import CameraId

FIXED_FPS = 5.0
"""The baselines' frame rate. The paper gives the baselines one fixed configuration; its value is ours."""
FIXED_ALPHA = 1.0
"""AIMD(1, 0.5), as the paper's ablation has it (section 5.4.3)."""
DEFAULT_PIXELS_PER_LEVEL = 2.0 * REFERENCE_SIZE[0] * REFERENCE_SIZE[1]
"""Two frames of the reference size a second, for callers who name no GPU: benchmarks of bandwidth alone."""
MIN_WEIGHT = 1e-4
"""Of the bandwidth. A group whose share rounds to 0 still gets this much, so that its cameras can reach the
server."""


@dataclass(frozen=True, slots=True)
class CameraLimits:
    """The most that a camera can deliver."""

    fps: float
    """Rate of its frame clock, frames per emulated second."""
    width: int
    """In pixels, as the height."""
    height: int
    camera: CameraId | None = None
    """Whose limits they are: cameras may have sampling tables of their own."""


@dataclass(frozen=True, slots=True)
class TransmissionPlan:
    """A camera's settings until its next assignment arrives."""

    fps: float
    """Frames per emulated second; always the frame clock's rate divided by ``stride``."""
    width: int
    height: int
    alpha: float
    """GAIMD's additive increase, packets per round-trip time."""
    stride: int
    """One frame in this many of the frame clock is sent."""
    weight: float = 0.0
    """The camera's part of the bandwidth, relative to the other cameras', whatever the mapping to alpha."""


class TransmissionRule(Protocol):
    """Turns (c_j, p_j, n_j) into a camera's plan, and into the server's idea of its bandwidth."""

    def plan(self, c: float, p: float, members: int, limits: CameraLimits) -> TransmissionPlan: ...

    def alpha(self, p: float, members: int) -> float:
        """GAIMD's additive increase of one camera of the group, packets per round-trip time."""
        ...

    def weight(self, p: float, members: int) -> float | None:
        """The share of the bandwidth that the server steers a camera towards.

        Shares are relative to those of the other cameras. None: the server does not steer, and the camera
        gets the bandwidth that its alpha brings.
        """
        ...

    @property
    def follows_shares(self) -> bool:
        """Do cameras adjust alpha by the share that the server reports? Then ``weight`` is not None."""
        ...


@dataclass(frozen=True, slots=True)
class GpuProportional:
    """ECCO: f*/n_j and r* from the sampling table, alpha in proportion to the GPU share.

    A camera's table is the one of ``tables``, else ``table``, else the default table for its own size.
    """

    table: SamplingTable | None = None
    tables: Mapping[CameraId, SamplingTable] = field(default_factory=dict)
    pixels_per_s_per_level: float = DEFAULT_PIXELS_PER_LEVEL
    """What one GPU micro-window per window can train on (``sampling.pixels_per_level``): the budget of the
    default table."""
    alpha_sum: float = ALPHA_SUM
    mapping: AlphaMapping = "linear"
    min_fps: float = MIN_FPS

    def plan(self, c: float, p: float, members: int, limits: CameraLimits) -> TransmissionPlan:
        best = self._table(limits).config_for(c)
        # f*/n_j (section 3.2.1): the members together send as many frames as their job can train on.
        stride = stride_for(best.fps / members, limits.fps, self.min_fps)
        # A table may have been profiled on a larger camera, and nothing is gained by enlarging pictures.
        width, height = min(best.width, limits.width), min(best.height, limits.height)
        return TransmissionPlan(
            limits.fps / stride, width, height, self.alpha(p, members), stride, _share(p, members)
        )

    def _table(self, limits: CameraLimits) -> SamplingTable:
        own = self.tables.get(limits.camera) if limits.camera is not None else None
        return own or self.table or default_table(limits.width, limits.height, self.pixels_per_s_per_level)

    def alpha(self, p: float, members: int) -> float:
        return gaimd_alpha(p, members, alpha_sum=self.alpha_sum, mapping=self.mapping)

    def weight(self, p: float, members: int) -> float | None:
        # The paper has no coordination between cameras (section 3.2.2); the server steers only with ``auto``.
        return _share(p, members) if self.follows_shares else None

    @property
    def follows_shares(self) -> bool:
        return self.mapping == "auto"


def _share(p: float, members: int) -> float:
    """A camera's part of the bandwidth: its group's share of the GPUs, divided among the members."""
    return max(p / members, MIN_WEIGHT)


@dataclass(frozen=True, slots=True)
class FixedTransmission:
    """Baselines and the ablation: one sampling configuration and AIMD(1, 0.5) for every camera."""

    fps: float = FIXED_FPS
    scale: float = 1.0
    """Of the camera's sides."""
    fixed_alpha: float = FIXED_ALPHA

    def plan(self, c: float, p: float, members: int, limits: CameraLimits) -> TransmissionPlan:
        stride = stride_for(self.fps, limits.fps)
        width = min(limits.width, snap_side(limits.width * self.scale))
        height = min(limits.height, snap_side(limits.height * self.scale))
        # Equal alphas, so equal parts of the bandwidth.
        return TransmissionPlan(limits.fps / stride, width, height, self.fixed_alpha, stride, 1.0)

    def alpha(self, p: float, members: int) -> float:
        return self.fixed_alpha

    def weight(self, p: float, members: int) -> float | None:
        return None

    @property
    def follows_shares(self) -> bool:
        return False
