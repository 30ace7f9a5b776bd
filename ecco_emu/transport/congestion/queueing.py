"""Remembers how full the path's queue gets, to tell a random loss from the loss of a queue that overflows."""

from __future__ import annotations

_MEMORY_S = 10.0
_QUEUE_S = 0.008
"""A path whose queueing delay never exceeded this counts as one without a queue. It is twice the 4 ms within
which a fast sender's own packets may leave together (``pacing``)."""
_FULL = 0.75
"""A loss at less than this part of the greatest delay does not come from a full queue."""
_EMPTY_S, _EMPTY = 0.002, 0.05
"""The queue counts as empty at less delay than the first, or than the second as a part of the greatest
delay."""
_MEMORY_PACKETS = 100
"""Packets over which the loss is averaged."""
_RANDOM_LOSS = 0.2
"""More loss than this counts as congestion, however empty the queue looks."""
_RANDOM_LOSS_NO_QUEUE = 0.05
"""The same on a path without a queue. There delay says nothing: a policer drops packets without delaying
them."""


class QueueMemory:
    """The greatest queueing delay of the last ten to twenty seconds, and the loss over about 100 packets."""

    __slots__ = ("_acked", "_epoch_s", "_last_most_s", "_lost", "_most_s")

    def __init__(self) -> None:
        self._epoch_s = 0.0
        self._most_s = 0.0
        self._last_most_s = 0.0
        self._acked = 0.0
        self._lost = 0.0

    @property
    def most_s(self) -> float:
        """The greatest queueing delay of the present and the last epoch of ``_MEMORY_S``."""
        return max(self._most_s, self._last_most_s)

    @property
    def loss(self) -> float:
        """Fraction of the newest packets that were lost. With fewer than twenty packets it is too small, so
        that one early loss is not taken for heavy loss."""
        return self._lost / max(self._acked + self._lost, 20.0)

    def on_delay(self, queue_delay_s: float, now: float) -> None:
        """Takes the smoothed round-trip time less the least one. Smoothed, because one packet that a host
        handles late must not look like a long queue."""
        if now - self._epoch_s > _MEMORY_S:
            self._last_most_s, self._most_s, self._epoch_s = self._most_s, 0.0, now
        if queue_delay_s > self._most_s:
            self._most_s = queue_delay_s

    def empty(self, queue_delay_s: float) -> bool:
        """Whether the queue is practically empty at this delay, so that the path has room."""
        return queue_delay_s < max(_EMPTY_S, _EMPTY * self.most_s)

    def on_acked(self) -> None:
        # Both counts decay by one part in a hundred per packet: exponentially weighted counts.
        self._acked += 1 - self._acked / _MEMORY_PACKETS
        self._lost -= self._lost / _MEMORY_PACKETS

    def on_lost(self, packets: int) -> None:
        self._lost += packets

    def answered(self) -> None:
        """The window was cut for the losses so far. They count half from now on, or the same losses would
        cause cut after cut."""
        self._lost *= 0.5

    def overflowed(self, queue_delay_s: float) -> bool:
        """Whether a loss at this queueing delay means that the queue has overflowed."""
        most_s = self.most_s
        if most_s < _QUEUE_S:
            return self.loss > _RANDOM_LOSS_NO_QUEUE
        return queue_delay_s >= _FULL * most_s or self.loss > _RANDOM_LOSS
