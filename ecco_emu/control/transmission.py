"""A camera's sampling configuration and GAIMD alpha for the GPU time of its group (paper, section 3.2).

Compression is not decided here: the encoder follows the rate that congestion control allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ecco_emu.control.sampling import MIN_FPS, SamplingTable, default_table, snap_side, stride_for
from ecco_emu.control.shares import ALPHA_SUM, AlphaMapping, gaimd_alpha

FIXED_FPS = 5.0
"""The baselines' frame rate. The paper gives the baselines one fixed configuration; its value is ours."""
FIXED_ALPHA = 1.0
"""AIMD(1, 0.5), as the paper's ablation has it (section 5.4.3)."""
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

    Without a ``table`` the camera gets the default table for its own size.
    """

    table: SamplingTable | None = None
    alpha_sum: float = ALPHA_SUM
    mapping: AlphaMapping = "linear"
    min_fps: float = MIN_FPS

    def plan(self, c: float, p: float, members: int, limits: CameraLimits) -> TransmissionPlan:
        table = self.table or default_table(limits.width, limits.height)
        best = table.config_for(c)
        # f*/n_j (section 3.2.1): the members together send as many frames as their job can train on.
        stride = stride_for(best.fps / members, limits.fps, self.min_fps)
        # A table may have been profiled on a larger camera, and nothing is gained by enlarging pictures.
        width, height = min(best.width, limits.width), min(best.height, limits.height)
        return TransmissionPlan(limits.fps / stride, width, height, self.alpha(p, members), stride)

    def alpha(self, p: float, members: int) -> float:
        return gaimd_alpha(p, members, alpha_sum=self.alpha_sum, mapping=self.mapping)

    def weight(self, p: float, members: int) -> float | None:
        # The paper has no coordination between cameras (section 3.2.2); the server steers only with ``auto``.
        return max(p / members, MIN_WEIGHT) if self.follows_shares else None

    @property
    def follows_shares(self) -> bool:
        return self.mapping == "auto"


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
        return TransmissionPlan(limits.fps / stride, width, height, self.fixed_alpha, stride)

    def alpha(self, p: float, members: int) -> float:
        return self.fixed_alpha

    def weight(self, p: float, members: int) -> float | None:
        return None

    @property
    def follows_shares(self) -> bool:
        return False
