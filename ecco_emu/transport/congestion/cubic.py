"""CUBIC (RFC 9438), the most common congestion control of the internet, as a comparison for GAIMD."""

from __future__ import annotations

from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion.window import WindowController
from ecco_emu.transport.rtt import RttEstimator

_C = 0.4
"""RFC 9438 section 5.1, packets per cubic second."""
_BETA = 0.7
"""Section 4.6."""
_RENO_ALPHA = 3 * (1 - _BETA) / (1 + _BETA)
"""Section 4.3: with this increase, AIMD with beta 0.7 is as fast on average as Reno, AIMD(1, 0.5)."""


class Cubic(WindowController):
    """Windows are in packets inside, as in the RFC. ``alpha`` and ``beta`` are ignored."""

    def __init__(self, config: TransportConfig, rtt: RttEstimator) -> None:
        super().__init__(config, rtt)
        self._epoch_s: float | None = None
        self._w_max = 0.0
        """The window before the last cut."""
        self._w_est = 0.0
        """The window that Reno would have."""
        self._k_s = 0.0
        """Time from the beginning of the epoch until the cubic function reaches ``_w_max``."""

    def on_outage(self, now: float) -> None:
        super().on_outage(now)
        self._epoch_s = None

    def on_idle(self, idle_s: float, timeout_s: float) -> None:
        super().on_idle(idle_s, timeout_s)
        self._epoch_s = None  # section 5.8: the time without traffic must not count as growth

    def _grow(self, size_bytes: int, used: float, sent_s: float, now: float) -> None:
        if used + 2 * self._packet_bytes < self.window or sent_s <= self._event_until_s:
            return
        window = self.window / self._packet_bytes
        acked = size_bytes / self._packet_bytes
        if self._epoch_s is None:
            self._begin_epoch(window, now)
        assert self._epoch_s is not None
        elapsed_s = now - self._epoch_s
        # Equation 1, one round trip ahead, as section 4.2 prescribes.
        cubic = _C * (elapsed_s + self._rtt.smoothed_s - self._k_s) ** 3 + self._w_max
        # Section 4.3: once it has regained the window before the last cut, Reno's own increase is used.
        reno_alpha = _RENO_ALPHA if self._w_est < self._w_max else 1.0
        self._w_est += reno_alpha * acked / window
        # The Reno-friendly region: where CUBIC is slower than Reno, it follows Reno.
        if _C * (elapsed_s - self._k_s) ** 3 + self._w_max < self._w_est:
            window = max(window, self._w_est)
        else:
            # Sections 4.4 and 4.5: concave and convex region. The limit of 1.5 windows is in section 4.2.
            target = min(max(cubic, window), 1.5 * window)
            window += (target - window) / window * acked
        self.window = self._within(window * self._packet_bytes)

    def _begin_epoch(self, window: float, now: float) -> None:
        self._epoch_s = now
        self._w_est = window
        # After slow start, or an outage, the window may lie above the last maximum. The function then begins
        # at its plateau (section 4.10).
        if window >= self._w_max:
            self._w_max, self._k_s = window, 0.0
        else:
            # Equation 2.
            self._k_s = ((self._w_max - window) / _C) ** (1 / 3)

    def _keep(self, now: float) -> float:
        window = self.window / self._packet_bytes
        # Section 4.7, fast convergence: a flow cut below its last maximum has lost capacity to a new flow,
        # and leaves it more room.
        self._w_max = window * (1 + _BETA) / 2 if window < self._w_max else window
        self._epoch_s = None
        return _BETA
