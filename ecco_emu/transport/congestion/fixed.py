"""A fixed sending rate, whatever the path does: to compare with, and for paths that are known."""

from __future__ import annotations

import math

from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.rtt import RttEstimator
from ecco_emu.transport.share_report import ShareReport

_IN_FLIGHT_S = 1.0
"""Beyond a second's worth of packets without acknowledgement the path is taken to be down."""


class Fixed:
    """Paces at ``config.fixed_rate_bps`` and never cuts."""

    ssthresh = 0.0
    slow_start = False

    def __init__(self, config: TransportConfig, rtt: RttEstimator) -> None:
        self.alpha = config.alpha
        self.beta = config.beta
        self.cuts = 0
        self._rtt = rtt
        self._bytes_per_s = config.fixed_rate_bps / 8
        self._packet_bytes = config.max_datagram_bytes

    @property
    def window(self) -> float:
        return self._bytes_per_s * self._rtt.smoothed_s

    @property
    def target_window(self) -> float:
        return self.window

    @property
    def in_flight_limit(self) -> float:
        return math.ceil(_IN_FLIGHT_S * self._bytes_per_s) + 2 * self._packet_bytes

    @property
    def pacing_bytes_per_s(self) -> float:
        return self._bytes_per_s

    def on_sent(self, in_flight_bytes: int) -> None: ...

    def on_acked(self, size_bytes: int, sent_s: float, now: float) -> None: ...

    def on_rtt(self, rtt_s: float, now: float) -> None: ...

    def on_lost(self, packets: int, newest_sent_s: float, now: float) -> bool:
        return False

    def on_outage(self, now: float) -> None: ...

    def on_idle(self, idle_s: float, timeout_s: float) -> None: ...

    def on_share(self, report: ShareReport, now: float) -> None: ...
