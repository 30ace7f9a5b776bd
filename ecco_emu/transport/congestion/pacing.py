"""Pacing: a token bucket that spreads a window over its round trip instead of bursting it."""

from __future__ import annotations

_BURST_S = 0.01
_TIMER_S = 0.002
"""What a timer may be late: a bucket that holds less would hold up fast senders."""
_QUANTUM_S = 0.004
"""Waking up costs a sender as much as a packet does: if a timer has to, it is for this much time's worth. A
fifth of the shortest queues that are to be shared (20 ms); bursts of several flows add up to no more. And
more than passes between two acknowledgements: those wake a fast sender, and no timer has to."""
_SLACK_BYTES = 1.0
"""Forgives the rounding of ``next_time``: waiting until then is always enough."""


class Pacer:
    """Tokens are bytes. A bucket holds ten milliseconds' worth, between 2 and 16 packets (or 2 ms' worth).

    Whoever has to wait for tokens waits for a quantum, four milliseconds' worth and a packet at least. Who
    comes by before then may take what there is.
    """

    __slots__ = ("_burst", "_max_burst", "_min_burst", "_quantum", "_rate", "_tokens", "_updated_s")

    def __init__(self, packet_bytes: int, now: float) -> None:
        self._min_burst = 2.0 * packet_bytes
        self._max_burst = 16.0 * packet_bytes
        self._burst = self._max_burst
        self._tokens = self._max_burst
        self._rate = 1e6
        self._quantum = 0.0
        self._updated_s = now

    @property
    def rate_bytes_per_s(self) -> float:
        return self._rate

    def set_rate(self, bytes_per_s: float, now: float) -> None:
        self._refill(now)
        self._rate = bytes_per_s
        most = max(self._max_burst, bytes_per_s * _TIMER_S)
        self._burst = min(max(bytes_per_s * _BURST_S, self._min_burst), most)
        self._quantum = min(bytes_per_s * _QUANTUM_S, self._burst)

    def allows(self, size_bytes: int, now: float) -> bool:
        if now > self._updated_s:
            self._refill(now)
        return self._tokens + _SLACK_BYTES >= size_bytes

    def spend(self, size_bytes: int) -> None:
        """May go into debt: probes are not held back, but later packets pay for them."""
        self._tokens = max(self._tokens - size_bytes, -self._max_burst)

    def next_time(self, size_bytes: int, now: float) -> float:
        """``now`` if a packet may leave, or else when there will be a quantum, at the present rate."""
        if self.allows(size_bytes, now):
            return now
        return self._updated_s + (max(self._quantum, size_bytes) - self._tokens) / self._rate

    def _refill(self, now: float) -> None:
        if now > self._updated_s:
            self._tokens = min(self._tokens + (now - self._updated_s) * self._rate, self._burst)
            self._updated_s = now
