"""Round-trip time estimation after RFC 9002 section 5."""

from __future__ import annotations

import math

_MIN_RTT_WINDOW_S = 60.0
"""The least sample is taken over the present and the last window of this length."""


class RttEstimator:
    """Smoothed round-trip time, its variation, and the least one, in seconds."""

    __slots__ = (
        "_epoch_min_s",
        "_epoch_s",
        "_last_min_s",
        "latest_s",
        "samples",
        "smoothed_s",
        "variation_s",
    )

    def __init__(self, initial_s: float) -> None:
        self.smoothed_s = initial_s
        self.variation_s = initial_s / 2
        self.latest_s = initial_s
        self.samples = 0
        self._epoch_s = -math.inf
        self._epoch_min_s = math.inf
        self._last_min_s = math.inf

    @property
    def min_s(self) -> float:
        """The least sample of the last one to two minutes. It is forgotten after that, so that the estimate
        follows a path that has become longer (RFC 9002 section 5.2)."""
        least = min(self._epoch_min_s, self._last_min_s)
        return least if least < math.inf else self.smoothed_s

    @property
    def queue_delay_s(self) -> float:
        """The smoothed round-trip time less the least one: the time that packets wait in queues."""
        return max(self.smoothed_s - self.min_s, 0.0)

    def add(self, sample_s: float, ack_delay_s: float, now: float) -> None:
        """Takes a sample; ``ack_delay_s`` is the time for which the peer held back its acknowledgement."""
        sample_s = max(sample_s, 1e-6)
        if now - self._epoch_s >= _MIN_RTT_WINDOW_S:
            self._last_min_s, self._epoch_min_s, self._epoch_s = self._epoch_min_s, math.inf, now
        if sample_s < self._epoch_min_s:
            self._epoch_min_s = sample_s
        # The least RTT is taken without this correction, and no corrected sample may fall below it: a peer
        # that reports too large a delay must not make the path look faster (RFC 9002 section 5.3).
        if sample_s - ack_delay_s >= self.min_s:
            sample_s -= ack_delay_s
        self.latest_s = sample_s
        if not self.samples:
            self.smoothed_s = sample_s
            self.variation_s = sample_s / 2
        else:
            self.variation_s += (abs(self.smoothed_s - sample_s) - self.variation_s) / 4
            self.smoothed_s += (sample_s - self.smoothed_s) / 8
        self.samples += 1
