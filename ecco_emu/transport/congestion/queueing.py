"""How full the path's queue gets, remembered, so that a loss can be told from an overflow."""

from __future__ import annotations

_MEMORY_S = 10.0
_QUEUE_S = 0.008
"""A path whose queueing delay never exceeded this has no queue to speak of: twice the 4 ms in which a fast
sender's own packets may leave together (``pacing``)."""
_FULL = 0.75
"""A loss while less than this part of the most delay stands in the queue is no overflow."""
_EMPTY_S, _EMPTY = 0.002, 0.05
"""Less delay than this, or than this part of the most, is an empty queue."""
_MEMORY_PACKETS = 100
_RANDOM_LOSS = 0.2
"""More loss than this is taken for congestion, however empty the queue looks."""
_RANDOM_LOSS_NO_QUEUE = 0.05
"""The same on a path without a queue, where delay cannot tell (a policer drops without delaying)."""


class QueueMemory:
    """The most queueing delay of the last ten to twenty seconds, and the loss over about 100 packets."""

    __slots__ = ("_acked", "_epoch_s", "_last_most_s", "_lost", "_most_s")

    def __init__(self) -> None:
        self._epoch_s = 0.0
        self._most_s = 0.0
        self._last_most_s = 0.0
        self._acked = 0.0
        self._lost = 0.0

    @property
    def most_s(self) -> float:
        return max(self._most_s, self._last_most_s)

    @property
    def loss(self) -> float:
        """Fraction of the newest packets that were lost; too small until some twenty are known."""
        return self._lost / max(self._acked + self._lost, 20.0)

    def on_delay(self, queue_delay_s: float, now: float) -> None:
        """The smoothed round trip beyond the shortest: a host that is late with one packet must not look
        like a long queue."""
        if now - self._epoch_s > _MEMORY_S:
            self._last_most_s, self._most_s, self._epoch_s = self._most_s, 0.0, now
        if queue_delay_s > self._most_s:
            self._most_s = queue_delay_s

    def empty(self, queue_delay_s: float) -> bool:
        """Whether this much delay is no queue to speak of, so that the path has room."""
        return queue_delay_s < max(_EMPTY_S, _EMPTY * self.most_s)

    def on_acked(self) -> None:
        self._acked += 1 - self._acked / _MEMORY_PACKETS
        self._lost -= self._lost / _MEMORY_PACKETS

    def on_lost(self, packets: int) -> None:
        self._lost += packets

    def answered(self) -> None:
        """A cut was made for what was lost so far."""
        self._lost *= 0.5

    def overflowed(self, queue_delay_s: float) -> bool:
        """Whether a loss, with this much delay in the queue, says that the queue ran over."""
        most_s = self.most_s
        if most_s < _QUEUE_S:
            return self.loss > _RANDOM_LOSS_NO_QUEUE
        return queue_delay_s >= _FULL * most_s or self.loss > _RANDOM_LOSS
