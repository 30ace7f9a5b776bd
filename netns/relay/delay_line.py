"""One direction of a wire: packets go in with their times and come out with theirs. Pure."""

from __future__ import annotations

import random
from collections import deque

PACKET_OVERHEAD_BYTES = 160
"""What a waiting packet costs beside its bytes: the objects that hold it."""


class DelayLine:
    """Loses packets with a probability, delays the rest, keeps their order, holds a bounded amount.

    A packet's delay is uniform within ``jitter_s`` of ``delay_s``; one that would overtake its
    predecessor leaves together with it. Parameters may change at any time and hold for packets that come
    in from then on. The random numbers are the line's own: two per packet whatever the parameters are,
    so that a change of one does not shift the others.
    """

    def __init__(self, *, seed: int, limit_bytes: int) -> None:
        self._random = random.Random(seed).random
        self._limit_bytes = limit_bytes
        self._delay_s = self._jitter_s = self._loss = 0.0
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._last_due = 0.0
        self._held_bytes = 0
        self.lost = 0
        """Packets lost on purpose."""
        self.overflowed = 0
        """Packets dropped because the line was full."""

    def set(self, *, delay_s: float, jitter_s: float, loss: float) -> None:
        """Changes the impairment for packets to come."""
        self._delay_s, self._jitter_s, self._loss = delay_s, jitter_s, loss

    def clear(self) -> int:
        """Loses every packet under way; returns how many."""
        count = len(self._waiting)
        self._waiting.clear()
        self._held_bytes, self._last_due = 0, 0.0
        return count

    def push(self, packet: bytes, now: float) -> bool:
        """A packet enters at ``now`` (seconds, never decreasing); False if it will not come out."""
        fate, spread = self._random(), self._random()
        if fate < self._loss:
            self.lost += 1
            return False
        cost = len(packet) + PACKET_OVERHEAD_BYTES
        if self._held_bytes + cost > self._limit_bytes:
            self.overflowed += 1
            return False
        due = now + self._delay_s + self._jitter_s * (2.0 * spread - 1.0)
        self._last_due = due = max(due, self._last_due)
        self._held_bytes += cost
        self._waiting.append((due, packet))
        return True

    @property
    def next_due(self) -> float | None:
        """When the next packet comes out, or None if none is waiting."""
        return self._waiting[0][0] if self._waiting else None

    @property
    def backlog_bytes(self) -> int:
        """Bytes of the packets on their way."""
        return self._held_bytes - PACKET_OVERHEAD_BYTES * len(self._waiting)

    def pop_due(self, now: float) -> list[bytes]:
        """The packets that come out by ``now``, in the order in which they went in."""
        out = []
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            packet = waiting.popleft()[1]
            self._held_bytes -= len(packet) + PACKET_OVERHEAD_BYTES
            out.append(packet)
        return out
