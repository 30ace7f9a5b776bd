"""Pacing: a token bucket that spreads a window over its round trip (RFC 9002 section 7.7)."""

from __future__ import annotations

_BURST_S = 0.01
"""The bucket holds this much time's worth of tokens, within limits in packets."""
_TIMER_S = 0.002
"""A timer may be this late. A bucket that holds less than this time's worth would slow down fast senders."""
_QUANTUM_S = 0.004
"""A timer waits for this much time's worth of tokens, because waking up costs as much CPU as sending a
packet. It is a fifth of the shortest queues to be shared (20 ms), so that the bursts of several flows fit in.
It is longer than the interval of acknowledgements (``acks``), so that these wake a fast sender before its
timer does."""
_SLACK_BYTES = 1.0
"""Allows for the rounding of ``next_time``, so that a packet may always leave at the time it returns."""


class Pacer:
    """A token bucket, in bytes. It holds ten milliseconds' worth of tokens, but at least 2 packets, and at
    most 16 packets or 2 ms' worth, whichever is more.

    When tokens run short, the sender's timer waits for a quantum: four milliseconds' worth, and one packet at
    least. An arriving ACK may also release packets for which tokens are available, before the timer does.
    """

    __slots__ = ("_burst", "_max_burst", "_min_burst", "_quantum", "_rate", "_tokens", "_updated_s")

    def __init__(self, packet_bytes: int, now: float) -> None:
        self._min_burst = 2.0 * packet_bytes
        self._max_burst = 16.0 * packet_bytes
        self._burst = self._max_burst
        self._tokens = self._max_burst
        # Replaced with the first round-trip sample. Until then the bucket's 16 packets hold the initial
        # window.
        self._rate = 1e6
        self._quantum = 0.0
        self._updated_s = now

    @property
    def rate_bytes_per_s(self) -> float:
        return self._rate

    def set_rate(self, bytes_per_s: float, now: float) -> None:
        self._refill(now)  # the time that has passed counts at the old rate
        self._rate = bytes_per_s
        most = max(self._max_burst, bytes_per_s * _TIMER_S)
        self._burst = min(max(bytes_per_s * _BURST_S, self._min_burst), most)
        self._quantum = min(bytes_per_s * _QUANTUM_S, self._burst)

    def allows(self, size_bytes: int, now: float) -> bool:
        """Whether a packet of this size may leave at ``now``."""
        if now > self._updated_s:
            self._refill(now)
        return self._tokens + _SLACK_BYTES >= size_bytes

    def spend(self, size_bytes: int) -> None:
        """Takes the tokens of a packet. The bucket may go into debt: probes are never held back, but later
        packets pay for them."""
        self._tokens = max(self._tokens - size_bytes, -self._max_burst)

    def next_time(self, size_bytes: int, now: float) -> float:
        """Returns ``now`` if a packet may leave, otherwise the time when the bucket will hold a quantum."""
        if self.allows(size_bytes, now):
            return now
        return self._updated_s + (max(self._quantum, size_bytes) - self._tokens) / self._rate

    def _refill(self, now: float) -> None:
        if now > self._updated_s:
            self._tokens = min(self._tokens + (now - self._updated_s) * self._rate, self._burst)
            self._updated_s = now
