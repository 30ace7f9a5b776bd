"""One direction of a simulated link: the rate limit with its queue, then the wire, as on the relay engine. So
a packet is lost on the wire after it has used the rate."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING

from netns.counters import DirectionCounters
from netns.delay_line import DelayLine
from netns.impairment import Impairment, jitter_table
from netns.planning import DirectionPlan
from netns.qdiscs import RateLimit
from netns.simulated.packets import Packet, flip
from netns.simulated.rate_queue import RateQueue, Waiting

if TYPE_CHECKING:
    from netns.simulated.capture import SimulatedCapture
    from netns.simulated.nodes import SimulatedNode

NEVER = math.inf
_LINE_BYTES = 8 << 20
"""The room of a plain wire, which holds nothing."""
_size = itemgetter(1)


class SimulatedDirection:
    """Takes in packets at one end. They come out at the other one at their time, or never.

    Time is an argument and never decreases. Packets are moved on late: those that leave the queue enter the
    wire only when that matters, but with the time at which they left.
    """

    __slots__ = (
        "_line",
        "_lost",
        "_push",
        "_queue",
        "_waiting",
        "at_far_end",
        "at_sender",
        "bytes",
        "key",
        "least_transit_s",
        "node",
        "packets",
        "reorders",
    )

    def __init__(self, node: SimulatedNode, planned: DirectionPlan) -> None:
        self.node = node
        self._queue: RateQueue | None = None
        self._waiting: deque[Waiting] = deque()
        """The packets in the queue."""
        self._line: DelayLine[Packet] = DelayLine(
            seed=planned.seed, limit_bytes=_LINE_BYTES, size=_size, flip=flip
        )
        self.reorders = False
        """Whether a packet may overtake those that entered before it."""
        self.at_sender: list[SimulatedCapture] = []
        """Captures of the packets that have left the queue."""
        self.at_far_end: list[SimulatedCapture] = []
        """Captures of the packets that come out of the wire."""
        self.key = NEVER
        """The time of its valid entry in the switch's heap."""
        self.least_transit_s = 0.0
        """No packet that enters from now on comes out sooner than after this time."""
        self.packets = self.bytes = 0
        """Those that have arrived at the far end."""
        self._lost = 0
        self._push: Callable[[Packet, float], bool] = self._line.push
        """Puts a packet on the wire that has left the queue."""
        self.set(planned, 0.0)

    def set(self, planned: DirectionPlan, now: float) -> None:
        """Gives it the rate limit and the impairments of a plan. Packets that are in it stay."""
        self.settle(now)
        limit = planned.rate_limit
        if limit is not None:
            self._set_limit(limit, now)
        if planned.line is not None:
            self._set_line(planned.line, planned.line_limit_bytes)
        self.look_ahead()

    def _set_limit(self, limit: RateLimit, now: float) -> None:
        if self._queue is None:
            self._queue = RateQueue(limit)
            self._waiting = self._queue.waiting
        else:
            self._queue.set(limit, now)

    def _set_line(self, wire: Impairment, limit_bytes: int) -> None:
        burst, name = wire.burst_loss, wire.jitter_distribution
        self._line.set(
            delay_s=wire.delay_s,
            jitter_s=wire.jitter_s,
            table=jitter_table(name) if wire.jitter_s and name != "uniform" else None,
            loss=wire.loss,
            burst=(burst.enter, burst.leave, burst.loss_bad, burst.loss_good) if burst else None,
            reorder=wire.reorder,
            duplicate=wire.duplicate,
            corrupt=wire.corrupt,
            limit_bytes=limit_bytes,
        )
        self.reorders = wire.reorder > 0

    def look_ahead(self) -> None:
        """Counts ``least_transit_s`` anew, after a change and where captures begin or end."""
        watched = self.at_sender or self.at_far_end
        self.least_transit_s = 0.0 if watched else self._line.least_delay_s
        self._push = self._capture if self.at_sender else self._line.push

    def enter(self, packet: Packet, now: float) -> None:
        """Takes in a packet at ``now``."""
        queue = self._queue
        if queue is None:
            self._push(packet, now)
            return
        waiting = self._waiting
        if waiting and waiting[0][0] <= now:
            self.settle(now)  # those that have left make room
        if not waiting and queue.pass_by(packet, now):
            self._push(packet, now)
        else:
            queue.push(packet, now)

    def due(self) -> float:
        """The time at which the next packet may come out. It may also be lost, or come later."""
        due, waiting = self._line.next_due, self._waiting
        if waiting:
            possible = waiting[0][0] + self.least_transit_s
            if due is None or possible < due:
                return possible
        return NEVER if due is None else due

    def number(self) -> int:
        """The number of this packet. To be called only when there is one."""
        return (self._waiting[0][2] if self._line.next_due is None else self._line.first())[0]

    def leave(self, now: float) -> Packet | None:
        """The next packet, if it comes out by ``now``, which is the time that ``due`` has told."""
        waiting = self._waiting
        if waiting and waiting[0][0] <= now:
            self.settle(now)
        line = self._line
        due = line.next_due
        if due is None or due > now:
            return None
        packet = line.pop()
        if self.at_far_end:
            for capture in tuple(self.at_far_end):  # one whose disk is full goes away
                capture.add(packet, now, outgoing=False)
        return packet

    def settle(self, now: float) -> None:
        """Moves the packets that have left the queue by ``now`` to the wire."""
        waiting, queue = self._waiting, self._queue
        while queue is not None and waiting and waiting[0][0] <= now:
            departs, packet = queue.pop()
            self._push(packet, departs)

    def _capture(self, packet: Packet, at: float) -> bool:
        for capture in tuple(self.at_sender):  # one whose disk is full goes away
            capture.add(packet, at, outgoing=True)
        return self._line.push(packet, at)

    def clear_wire(self, now: float) -> None:
        """Loses the packets on the wire."""
        self.settle(now)
        self._lost += self._line.clear()

    def flush(self, now: float) -> None:
        """Loses all packets, in the queue too."""
        self.clear_wire(now)
        if self._queue is not None:
            self._lost += self._queue.flush()

    def discard(self) -> None:
        """A packet that came out was thrown away by the port, which is cut."""
        self._lost += 1

    def counters(self, now: float) -> DirectionCounters:
        """The packets up to ``now``, for which the lab has been settled."""
        self.settle(now)
        queue, line = self._queue, self._line
        return DirectionCounters(
            bytes=self.bytes,
            packets=self.packets,
            drops=self._lost + line.lost + line.overflowed + (queue.drops if queue is not None else 0),
            backlog_bytes=line.backlog_bytes + (queue.backlog_bytes if queue is not None else 0),
        )
