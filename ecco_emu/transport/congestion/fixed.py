"""A fixed sending rate without congestion control: a comparison, and for paths whose capacity is known."""

from __future__ import annotations

import math

from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion.controller import Controller
from ecco_emu.transport.rtt import RttEstimator

_IN_FLIGHT_S = 1.0
"""At most this long a time's worth of packets may be in flight. Without acknowledgements for longer, the path
is taken to be down."""


class Fixed(Controller):
    """Paces at ``config.fixed_rate_bps`` and never cuts."""

    def __init__(self, config: TransportConfig, rtt: RttEstimator) -> None:
        super().__init__(config, rtt)
        self._bytes_per_s = config.fixed_rate_bps / 8
        self._follow_rtt()

    @property
    def in_flight_limit(self) -> float:
        return float(math.ceil(_IN_FLIGHT_S * self._bytes_per_s) + 2 * self._packet_bytes)

    @property
    def pacing_bytes_per_s(self) -> float:
        return self._bytes_per_s

    def on_rtt(self, rtt_s: float, now: float) -> None:
        self._follow_rtt()

    def _follow_rtt(self) -> None:
        """Sets the window to the rate times the round-trip time. Nothing is limited by it; reports show
        it."""
        self.window = self._bytes_per_s * self._rtt.smoothed_s
