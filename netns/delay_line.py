"""One direction of a wire: a packet goes in at one time and comes out at another, or never. Pure.

The relay moves frames through it, as bytes, and the simulated engine packets of its own kind: the rules are
the same. It imports only the standard library, and little of it: the relay process must start quickly.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

PACKET_OVERHEAD_BYTES = 160
"""The memory that a waiting packet takes beside its bytes, for the objects that hold it."""
TABLE_SCALE = 8192
"""The value in a table that stands for one ``jitter_s``: netem's NETEM_DIST_SCALE."""
_TABLE_REACH = 4.0
"""No value in a table is further from the mean, in units of ``jitter_s``: they have 16 bits."""

P = TypeVar("P")
Burst = tuple[float, float, float, float]
"""The probabilities of ``impairment.BurstLoss``: enter the bad state, leave it, loss in the bad state, loss
in the good one."""


def flipped(frame: bytes, bit: int) -> bytes:
    """The same bytes with one bit inverted."""
    changed = bytearray(frame)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


class DelayLine(Generic[P]):
    """Loses, duplicates, corrupts and delays packets. It keeps their order unless reordering was asked for,
    and holds at most ``limit_bytes``.

    A packet whose delay would make it overtake its predecessor leaves together with it. Parameters may change
    at any time, and apply to packets that come in from then on. Every impairment has a random stream of its
    own, and draws from it only while it is on. So a change of one impairment does not change which packets
    another one affects.
    """

    __slots__ = (
        "_ahead",
        "_burst",
        "_corrupt",
        "_delay_s",
        "_duplicate",
        "_flip",
        "_held_bytes",
        "_in_burst",
        "_jitter_s",
        "_last_due",
        "_limit_bytes",
        "_loss",
        "_plain",
        "_reorder",
        "_seed",
        "_size",
        "_streams",
        "_table",
        "_waiting",
        "least_delay_s",
        "lost",
        "next_due",
        "overflowed",
    )

    def __init__(
        self,
        *,
        seed: int,
        limit_bytes: int,
        size: Callable[[P], int] = len,  # type: ignore[assignment]
        flip: Callable[[P, int], P] = flipped,  # type: ignore[assignment]
    ) -> None:
        """``size`` tells the bytes of a packet, and ``flip`` makes one with an inverted bit. The defaults are
        for packets that are bytes."""
        self._seed, self._size, self._flip = seed, size, flip
        self._streams: dict[str, Callable[[], float]] = {}
        self._limit_bytes = limit_bytes
        # Delayed packets, and those that reordering lets overtake them. Due times never decrease within
        # either, so two queues do without a heap.
        self._waiting: deque[tuple[float, P]] = deque()
        self._ahead: deque[tuple[float, P]] = deque()
        self._last_due = 0.0
        self._held_bytes = 0
        self._in_burst = False
        self.next_due: float | None = None
        """The time at which the next packet comes out, or None if none is waiting."""
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
        """Changes the impairments for packets that come in from now on. A parameter that is left out is off,
        but ``limit_bytes`` stays.

        Jitter is drawn from ``table`` (deviations in units of ``jitter_s / TABLE_SCALE``). Without a table it
        is uniform between ``-jitter_s`` and ``jitter_s``.
        """
        self._delay_s, self._jitter_s, self._table = delay_s, jitter_s, table
        self._loss, self._burst = loss, burst
        self._reorder, self._duplicate, self._corrupt = reorder, duplicate, corrupt
        if limit_bytes is not None:
            self._limit_bytes = limit_bytes
        if burst is None:  # a model that comes later begins in its good state
            self._in_burst = False
        reach = _TABLE_REACH if table else 1.0
        self.least_delay_s = 0.0 if reorder else max(0.0, delay_s - reach * jitter_s)
        """No packet that comes in from now on comes out sooner than after this time."""
        # With a fixed delay alone nothing is drawn, and push can take a shorter way.
        self._plain = not (burst or loss or jitter_s or reorder or duplicate or corrupt)

    def clear(self) -> int:
        """Loses every packet that is under way. Returns their number."""
        count = len(self._waiting) + len(self._ahead)
        self._waiting.clear()
        self._ahead.clear()
        # _last_due too: the next packet does not wait for one that is lost.
        self._held_bytes, self._last_due, self.next_due = 0, 0.0, None
        return count

    def push(self, packet: P, now: float) -> bool:
        """Takes in a packet at ``now`` (seconds, never decreasing). False if it will not come out."""
        if self._plain:
            return self._enqueue(packet, now + self._delay_s)
        passed = False
        # Duplicated before everything else: each copy may be lost, delayed and corrupted on its own.
        copies = 2 if self._duplicate and self._draw("duplicate") < self._duplicate else 1
        for _ in range(copies):
            if self._loses():
                self.lost += 1
            elif self._delay(packet, now):
                passed = True
        return passed

    def first(self) -> P:
        """The packet that comes out next. To be called only when one is waiting."""
        return (self._next() if self._ahead else self._waiting)[0][1]

    def pop(self) -> P:
        """Takes out this packet alone."""
        # Each packet passes here, and hardly any has overtaken.
        packet = (self._next() if self._ahead else self._waiting).popleft()[1]
        self._held_bytes -= self._size(packet) + PACKET_OVERHEAD_BYTES
        first = self._next() if self._ahead else self._waiting
        self.next_due = first[0][0] if first else None
        return packet

    @property
    def backlog_bytes(self) -> int:
        """The bytes of the packets that are under way, without the overhead that counts towards the limit."""
        return self._held_bytes - PACKET_OVERHEAD_BYTES * (len(self._waiting) + len(self._ahead))

    def pop_due(self, now: float) -> list[P]:
        """Takes out the packets that are due by ``now``, in their order."""
        out = []
        while self.next_due is not None and self.next_due <= now:
            out.append(self.pop())
        return out

    def _next(self) -> deque[tuple[float, P]]:
        """The queue whose first packet comes out next, while one is there that has overtaken."""
        ahead, waiting = self._ahead, self._waiting
        # A packet that overtakes is due when it enters. One that was due before may still be here, if nobody
        # has looked since.
        return waiting if waiting and waiting[0][0] < ahead[0][0] else ahead

    def _draw(self, what: str) -> float:
        # Seeding with a string is the same in every process; hash() is not.
        stream = self._streams.get(what)
        if stream is None:
            stream = self._streams[what] = random.Random(f"{self._seed}:{what}").random
        return stream()

    def _loses(self) -> bool:
        burst = self._burst
        if burst is None:
            return bool(self._loss) and self._draw("loss") < self._loss
        enter, leave, in_bad, in_good = burst
        # As in netem's loss_gilb_ell, the state before the transition decides about the packet.
        was_bad = self._in_burst
        if self._draw("burst") < (leave if was_bad else enter):
            self._in_burst = not was_bad
        return self._draw("loss") < (in_bad if was_bad else in_good)

    def _delay(self, packet: P, now: float) -> bool:
        if self._corrupt and self._draw("corrupt") < self._corrupt:
            packet = self._corrupted(packet)
        if self._reorder and self._draw("reorder") < self._reorder:  # it skips the delay, and draws no jitter
            return self._enqueue(packet, now, ahead=True)
        # No packet arrives before it was sent, however far the jitter reaches.
        return self._enqueue(packet, now + max(0.0, self._delay_s + self._jitter()))

    def _jitter(self) -> float:
        if not self._jitter_s:
            return 0.0
        drawn = self._draw("jitter")
        if self._table is None:
            return self._jitter_s * (2.0 * drawn - 1.0)
        return self._jitter_s * self._table[int(drawn * len(self._table))] / TABLE_SCALE

    def _corrupted(self, packet: P) -> P:
        size = self._size(packet)
        # an empty one has no bit that could be inverted
        return self._flip(packet, int(self._draw("bit") * 8 * size)) if size else packet

    def _enqueue(self, packet: P, due: float, ahead: bool = False) -> bool:
        held = self._held_bytes + self._size(packet) + PACKET_OVERHEAD_BYTES
        if held > self._limit_bytes:
            self.overflowed += 1
            return False
        self._held_bytes = held
        if ahead:
            # _last_due stays: those that wait must not leave later because this one has overtaken them.
            self._ahead.append((due, packet))
            self.next_due = self._next()[0][0]
            return True
        # Jitter, or a delay that became shorter, must not change the order: a receiver would take an
        # overtaken packet for a lost one.
        if due < self._last_due:
            due = self._last_due
        self._last_due = due
        self._waiting.append((due, packet))
        if self.next_due is None:
            self.next_due = due
        return True
