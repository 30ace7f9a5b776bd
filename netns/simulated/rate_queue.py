"""A rate limit with its queue, as the other engines have it: htb with a bfifo behind a gate (see ``qdiscs``).
Pure.

htb lets a frame leave once it has earned the time that it charged for the frames before, and then charges the
frame for the time that its bytes take at the rate. It may be ahead by its burst. So one number is its whole
state: the time from which on the next frame may leave.
"""

from __future__ import annotations

import math
from collections import deque

from netns.qdiscs import RateLimit
from netns.simulated.packets import Packet

_NEVER = math.inf

Waiting = tuple[float, float, Packet]
"""When a packet leaves, the time from which on it might have left, and the packet."""


class RateQueue:
    """Frames that wait for their time. The time of each is known when it comes in, and counted anew when the
    limit changes. ``drops`` counts those for which there was no room."""

    __slots__ = (
        "_burst_s",
        "_byte_s",
        "_free",
        "_limit_bytes",
        "_open",
        "backlog_bytes",
        "drops",
        "waiting",
    )

    def __init__(self, limit: RateLimit) -> None:
        self.waiting: deque[Waiting] = deque()
        self.drops = 0
        self.backlog_bytes = 0
        # It begins with a full burst.
        self._free = -math.inf
        self.set(limit, 0.0)

    def set(self, limit: RateLimit, now: float) -> None:
        """Changes the limit for all frames that have not left by ``now``. Those have been taken out before.

        As with htb, the debt for the last frame stays: it ends at the rate with which it began.
        """
        self._byte_s = 8 / limit.rate_bps
        self._burst_s = (limit.frame_bytes if limit.gate == "opening" else limit.burst_bytes) * self._byte_s
        self._limit_bytes = limit.limit_bytes
        self._open = limit.gate != "held"
        packets = [packet for _, _, packet in self.waiting]
        if packets:
            self._free = self.waiting[0][1]
            self.waiting.clear()
            for packet in packets:
                self._schedule(packet, now)

    def pass_by(self, packet: Packet, now: float) -> bool:
        """Lets a frame pass at once if it may leave at ``now``. To be called only when none is waiting."""
        free = self._free
        if free > now or not self._open:
            return False
        earned = now - self._burst_s
        self._free = (free if free > earned else earned) + packet[1] * self._byte_s
        return True

    def push(self, packet: Packet, now: float) -> None:
        """Takes in a frame at ``now``, or drops it. Those that have left by then have been taken out."""
        held = self.backlog_bytes + packet[1]
        if held > self._limit_bytes:
            self.drops += 1
            return
        self.backlog_bytes = held
        self._schedule(packet, now)

    def pop(self) -> tuple[float, Packet]:
        """Takes out the first frame, with the time at which it leaves."""
        departs, _, packet = self.waiting.popleft()
        self.backlog_bytes -= packet[1]
        return departs, packet

    def flush(self) -> int:
        """Loses all frames, and their debt with them, as a qdisc that is made anew does. Returns their
        number."""
        count = len(self.waiting)
        self.waiting.clear()
        self.backlog_bytes, self._free = 0, -math.inf
        return count

    def _schedule(self, packet: Packet, now: float) -> None:
        free = self._free
        if not self._open:
            self.waiting.append((_NEVER, free, packet))
            return
        departs = free if free > now else now
        self.waiting.append((departs, free, packet))
        earned = departs - self._burst_s
        self._free = (free if free > earned else earned) + packet[1] * self._byte_s
