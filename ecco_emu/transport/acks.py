"""The packets that arrived: which were seen before, and when and what to acknowledge."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ecco_emu.transport import wire
from ecco_emu.transport.ranges import RangeSet

_ACK_EVERY = 2
_ACK_INTERVAL_S = 0.0025
_MOST_UNACKED = 10
"""Where packets are many, one acknowledgement in this time is enough, or one for ten packets. Much longer,
and window-limited flows send in clumps, of which some escape a full queue: shares go wrong (tests/sim). Half
a millisecond less than passes between two looks at a busy socket (``adapter.port``)."""
_EAGER_ACKS = 4
"""The first packets are acknowledged at once, so that both sides soon know the round trip."""
_MAX_RANGES = 256
_REPORT_SPAN = 512
"""Ranges this far below the newest packet were reported hundreds of times: every acknowledgement
carries all newer ones. Without an end, each number that the peer leaves out would lengthen them for good."""


class ReceivedPackets:
    """Numbers of the packets that arrived, in at most 256 ranges; older ones count as seen.

    Every second packet is acknowledged, every gap, one that comes after a pause of ``max_ack_delay_s`` (no
    second one will soon follow), and the rest after that delay. But where nothing is amiss, 2.5 ms pass
    between acknowledgements unless ten packets arrived.
    """

    __slots__ = ("_acked_s", "_floor", "_max_delay_s", "_newest_s", "_ranges", "_unacked", "due_s", "newest")

    def __init__(self, max_delay_s: float, now: float) -> None:
        self._max_delay_s = max_delay_s
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
        """A packet arrived that was not seen before; ``eliciting``: it wants to be acknowledged.

        True: it is newer than all before it.
        """
        newer, in_order = number > self.newest, number == self.newest + 1
        paused = now - self._newest_s > self._max_delay_s
        self._ranges.add(number, number + 1)
        if len(self._ranges) > _MAX_RANGES:
            self._floor = self._ranges.forget_oldest()
        if newer:
            self.newest = number
            self._newest_s = now
        if eliciting:
            self._unacked += 1
            if self._unacked >= _MOST_UNACKED or not in_order or paused or number < _EAGER_ACKS:
                self.due_s = now
            elif self._unacked >= _ACK_EVERY:
                self.due_s = max(now, self._acked_s + _ACK_INTERVAL_S)
            elif self.due_s is None:
                self.due_s = now + self._max_delay_s
        return newer

    def take(self, now: float) -> tuple[Sequence[tuple[int, int]], int]:
        """What to acknowledge: ranges as in ``wire.Ack``, and the delay in µs; nothing is due afterwards."""
        self.due_s = None
        self._unacked = 0
        self._acked_s = now
        delay_us = max(round((now - self._newest_s) * 1e6), 0)
        if len(self._ranges) == 1:
            return (self._ranges.first,), delay_us
        ranges = self._ranges.newest(wire.MAX_ACK_RANGES)
        floor = self.newest - _REPORT_SPAN
        while ranges[-1][1] <= floor:
            ranges.pop()
        return ranges, delay_us

    def frame(self, now: float) -> bytes:
        """The ACK frame to send; nothing is due afterwards."""
        return wire.encode_ack(*self.take(now))
