"""One direction of a wire: packets go in with their times and come out with theirs. Pure.

Standard library only, and little of it: the relay process imports this and must start quickly.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence

PACKET_OVERHEAD_BYTES = 160
"""What a waiting packet costs beside its bytes: the objects that hold it."""
TABLE_SCALE = 8192
"""A table's value that means one ``jitter_s``: netem's NETEM_DIST_SCALE."""

Burst = tuple[float, float, float, float]
"""Probabilities to enter and to leave the bad state, and to lose a packet in the bad and in the good one."""


class DelayLine:
    """Loses, duplicates, corrupts and delays packets, keeps their order unless reordering was asked for, and
    holds a bounded amount.

    A packet that would overtake its predecessor leaves together with it. Parameters may change at any
    time and hold for packets that come in from then on. Every impairment has a random stream of its own,
    from which it draws only while it is wanted, so that a change of one does not shift the others.
    """

    def __init__(self, *, seed: int, limit_bytes: int) -> None:
        self._seed = seed
        self._streams: dict[str, Callable[[], float]] = {}
        self._limit_bytes = limit_bytes
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._ahead: deque[tuple[float, bytes]] = deque()
        self._last_due = 0.0
        self._held_bytes = 0
        self._in_burst = False
        self.next_due: float | None = None
        """When the next packet comes out, or None if none is waiting."""
        self.set()
        self.lost = 0
        """Packets lost on purpose."""
        self.overflowed = 0
        """Packets dropped because the line was full."""

    def set(
        self,
        *,
        delay_s: float = 0.0,
        jitter_s: float = 0.0,
        table: Sequence[int] | None = None,
        loss: float = 0.0,
        burst: Burst | None = None,
        reorder: float = 0.0,
        duplicate: float = 0.0,
        corrupt: float = 0.0,
        limit_bytes: int | None = None,
    ) -> None:
        """Changes the impairment for packets to come.

        Jitter is drawn from ``table`` (deviations in units of ``jitter_s / TABLE_SCALE``), or uniformly
        within ``jitter_s`` without one.
        """
        self._delay_s, self._jitter_s, self._table = delay_s, jitter_s, table
        self._loss, self._burst = loss, burst
        self._reorder, self._duplicate, self._corrupt = reorder, duplicate, corrupt
        if limit_bytes is not None:
            self._limit_bytes = limit_bytes
        if burst is None:
            self._in_burst = False
        self._plain = not (burst or loss or jitter_s or reorder or duplicate or corrupt)

    def clear(self) -> int:
        """Loses every packet under way; returns how many."""
        count = len(self._waiting) + len(self._ahead)
        self._waiting.clear()
        self._ahead.clear()
        self._held_bytes, self._last_due, self.next_due = 0, 0.0, None
        return count

    def push(self, packet: bytes, now: float) -> bool:
        """A packet enters at ``now`` (seconds, never decreasing); False if it will not come out."""
        if self._plain:
            return self._enqueue(packet, now + self._delay_s)
        passed = False
        copies = 2 if self._duplicate and self._draw("duplicate") < self._duplicate else 1
        for _ in range(copies):
            if self._loses():
                self.lost += 1
            elif self._delay(packet, now):
                passed = True
        return passed

    @property
    def backlog_bytes(self) -> int:
        """Bytes of the packets on their way."""
        return self._held_bytes - PACKET_OVERHEAD_BYTES * (len(self._waiting) + len(self._ahead))

    def pop_due(self, now: float) -> list[bytes]:
        """The packets that come out by ``now``, in their order."""
        ahead, waiting = self._ahead, self._waiting
        out = []
        while ahead and ahead[0][0] <= now:
            out.append(ahead.popleft()[1])
        while waiting and waiting[0][0] <= now:
            out.append(waiting.popleft()[1])
        for packet in out:
            self._held_bytes -= len(packet) + PACKET_OVERHEAD_BYTES
        first = ahead or waiting
        self.next_due = first[0][0] if first else None
        return out

    def _draw(self, what: str) -> float:
        stream = self._streams.get(what)
        if stream is None:
            stream = self._streams[what] = random.Random(f"{self._seed}:{what}").random
        return stream()

    def _loses(self) -> bool:
        burst = self._burst
        if burst is None:
            return bool(self._loss) and self._draw("loss") < self._loss
        enter, leave, in_bad, in_good = burst
        was_bad = self._in_burst
        if self._draw("burst") < (leave if was_bad else enter):
            self._in_burst = not was_bad
        return self._draw("loss") < (in_bad if was_bad else in_good)

    def _delay(self, packet: bytes, now: float) -> bool:
        if self._corrupt and self._draw("corrupt") < self._corrupt:
            packet = self._corrupted(packet)
        if self._reorder and self._draw("reorder") < self._reorder:
            return self._enqueue(packet, now, ahead=True)
        return self._enqueue(packet, now + self._delay_s + self._jitter())

    def _jitter(self) -> float:
        if not self._jitter_s:
            return 0.0
        drawn = self._draw("jitter")
        if self._table is None:
            return self._jitter_s * (2.0 * drawn - 1.0)
        return self._jitter_s * self._table[int(drawn * len(self._table))] / TABLE_SCALE

    def _corrupted(self, packet: bytes) -> bytes:
        if not packet:
            return packet
        bit = int(self._draw("bit") * 8 * len(packet))
        changed = bytearray(packet)
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    def _enqueue(self, packet: bytes, due: float, ahead: bool = False) -> bool:
        held = self._held_bytes + len(packet) + PACKET_OVERHEAD_BYTES
        if held > self._limit_bytes:
            self.overflowed += 1
            return False
        self._held_bytes = held
        if ahead:
            self._ahead.append((due, packet))
            self.next_due = self._ahead[0][0]
            return True
        if due < self._last_due:
            due = self._last_due
        self._last_due = due
        self._waiting.append((due, packet))
        if self.next_due is None:
            self.next_due = due
        return True
