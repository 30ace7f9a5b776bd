"""Records the packets that arrived: finds duplicates, and decides when to acknowledge and which ranges."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ecco_emu.transport import wire
from ecco_emu.transport.ranges import RangeSet

_ACK_EVERY = 2
_EAGER_ACKS = 4
"""The first packets are acknowledged at once, so that the round-trip time is known early."""
_MAX_RANGES = 256
"""More ranges than this are not kept: a peer must not be able to fill memory with gaps."""
_REPORT_SPAN = 512
"""Ranges further below the newest packet than this are not reported any more: hundreds of acknowledgements
have carried them. Otherwise each number that the peer skips (``skips``) would lengthen every later
acknowledgement."""


class ReceivedPackets:
    """The numbers of the packets that arrived, in at most 256 ranges; still older numbers count as seen.

    An acknowledgement is due

    - at once for a packet that is out of order, for one after a pause of more than ``max_ack_delay_s`` (a
      slow sender's second packet would be long in coming), for the first few packets, and when
      ``most_unacked`` wait;
    - otherwise for every second packet, but not within ``interval_s`` of the last acknowledgement;
    - for a single packet after ``max_ack_delay_s``.

    RFC 9000 section 13.2.1 asks for the gaps, 13.2.2 for every second packet.
    """

    __slots__ = (
        "_acked_s",
        "_floor",
        "_interval_s",
        "_max_delay_s",
        "_most_unacked",
        "_newest_s",
        "_ranges",
        "_unacked",
        "due_s",
        "newest",
    )

    def __init__(
        self, max_delay_s: float, now: float, *, interval_s: float = 0.0025, most_unacked: int = 10
    ) -> None:
        """All times are emulated seconds; ``config.TransportConfig`` says what the last two are for."""
        self._max_delay_s = max_delay_s
        self._interval_s = interval_s
        self._most_unacked = most_unacked
        self._ranges = RangeSet()
        self._floor = 0
        self._newest_s = now
        self._acked_s = -math.inf
        self._unacked = 0
        self.newest = -1
        self.due_s: float | None = None
        """When the next acknowledgement must leave."""

    def seen(self, number: int) -> bool:
        return number <= self.newest and (number < self._floor or number in self._ranges)

    def note(self, number: int, eliciting: bool, now: float) -> bool:
        """Takes a packet that was not seen before. ``eliciting``: it asks for an acknowledgement.

        Returns whether it is newer than all before it.
        """
        newer, in_order = number > self.newest, number == self.newest + 1
        paused = now - self._newest_s > self._max_delay_s
        self._ranges.add(number, number + 1)
        # From now on all numbers below the floor count as seen: one that is late is dropped, and resent.
        if not in_order and len(self._ranges) > _MAX_RANGES:
            self._floor = self._ranges.forget_oldest()
        if newer:
            self.newest = number
            self._newest_s = now
        if eliciting:
            self._unacked += 1
            if self._unacked >= self._most_unacked or not in_order or paused or number < _EAGER_ACKS:
                self.due_s = now
            elif self._unacked >= _ACK_EVERY:
                self.due_s = max(now, self._acked_s + self._interval_s)
            elif self.due_s is None:
                self.due_s = now + self._max_delay_s
        return newer

    def take(self, now: float) -> tuple[Sequence[tuple[int, int]], int]:
        """Returns the ranges to acknowledge, as in ``wire.Ack``, and the delay in µs. Nothing is due
        afterwards."""
        self.due_s = None
        self._unacked = 0
        self._acked_s = now
        delay_us = max(round((now - self._newest_s) * 1e6), 0)
        # Without gaps, by far the most common case, no list is made.
        if len(self._ranges) == 1:
            return (self._ranges.first,), delay_us
        ranges = self._ranges.newest(wire.MAX_ACK_RANGES)
        floor = self.newest - _REPORT_SPAN
        while ranges[-1][1] <= floor:
            ranges.pop()
        return ranges, delay_us

    def frame(self, now: float) -> bytes:
        """Returns the ACK frame to send. Nothing is due afterwards."""
        return wire.encode_ack(*self.take(now))
