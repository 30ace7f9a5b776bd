"""Virtual time, and links in it: a rate with a drop-tail queue in bytes, then a delay, with loss and
outages."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PACKET_OVERHEAD_BYTES = 42
"""Ethernet, IPv4 and UDP headers: a link's rate includes them."""
_ETHERNET_BYTES = 14
_DRAWS = 4096
"""Random numbers are drawn in blocks of this size. Drawing one costs as much as the rest of a link's work."""


class VirtualTime:
    """A clock that jumps from one scheduled call to the next."""

    def __init__(self) -> None:
        self.now = 0.0
        self._calls: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, time_s: float, call: Callable[..., None], *arguments: Any) -> None:
        """Schedules a call; one for the past comes at once. Calls for the same time keep their order."""
        self._count += 1
        heapq.heappush(self._calls, (time_s if time_s > self.now else self.now, self._count, call, arguments))

    def run_until(self, end_s: float, condition: Callable[[], bool] | None = None) -> None:
        """Runs the calls scheduled up to ``end_s``, or until ``condition`` holds after one of them."""
        calls, pop = self._calls, heapq.heappop
        while calls and calls[0][0] <= end_s:
            self.now, _, call, arguments = pop(calls)
            call(*arguments)
            if condition is not None and condition():
                return
        self.now = end_s


@dataclass(slots=True)
class SimulatedLink:
    """One direction of a link. ``rate_bps`` and ``queue_bytes`` may change while it runs. Packets already in
    the queue keep the times that they got on arrival.

    As in the kernel's htb over a bfifo, the packet that is being sent is no longer in the queue.
    """

    time: VirtualTime
    rng: np.random.Generator
    rate_bps: float = math.inf
    queue_bytes: float = math.inf
    delay_s: float = 0.0
    jitter_s: float = 0.0
    """Greatest additional delay. It is uniformly distributed, and packets keep their order."""
    loss: float = 0.0
    """Probability of loss after the queue: a lost packet has used its part of the rate."""
    outages: Sequence[tuple[float, float]] = ()
    """Intervals in which packets that enter or leave the link are lost."""
    mtu_bytes: float = math.inf
    """Size of the largest IP packet that the link carries. Larger ones are lost."""
    delivered_bytes: int = 0
    dropped: int = 0
    """Packets that found the queue full."""
    _busy_until_s: float = 0.0
    _last_arrival_s: float = 0.0
    _waiting: deque[tuple[float, int]] = field(default_factory=deque)
    """Of each packet in the queue: the time when its sending begins, and its bytes."""
    _waiting_bytes: int = 0
    _draws: list[float] = field(default_factory=list)

    def send(self, size: int, delay_s: float, deliver: Callable[..., None], *arguments: Any) -> None:
        """Sends a packet of ``size`` bytes, all headers included. ``deliver(*arguments)`` is called when it
        arrives.

        ``delay_s`` is added to the link's own delay.
        """
        now = self.time.now
        if size - _ETHERNET_BYTES > self.mtu_bytes or (self.outages and self.is_down(now)):
            return
        waiting = self._waiting
        if waiting and waiting[0][0] <= now:
            self._advance(now)
        start = self._busy_until_s
        if start > now:
            if self._waiting_bytes + size > self.queue_bytes:
                self.dropped += 1
                return
            waiting.append((start, size))
            self._waiting_bytes += size
        else:
            start = now
        self._busy_until_s = start + size * 8 / self.rate_bps
        if self.loss and self._draw() < self.loss:
            return
        arrival = self._busy_until_s + self.delay_s + delay_s
        if self.jitter_s:
            arrival += self.jitter_s * self._draw()
            self._last_arrival_s = arrival = max(arrival, self._last_arrival_s)
        # Only then can the link be down on arrival; otherwise one call is saved.
        if self.outages:
            self.time.at(arrival, self._arrive, size, deliver, arguments)
        else:
            self.delivered_bytes += size
            self.time.at(arrival, deliver, *arguments)

    @property
    def backlog_bytes(self) -> int:
        """Bytes in the queue, without the packet that is being sent."""
        self._advance(self.time.now)
        return self._waiting_bytes

    def _advance(self, now: float) -> None:
        """Takes the packets out of the queue whose sending has begun."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            self._waiting_bytes -= waiting.popleft()[1]

    def _arrive(self, size: int, deliver: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if not self.is_down(self.time.now):
            self.delivered_bytes += size
            deliver(*arguments)

    def is_down(self, at: float) -> bool:
        return any(start <= at < end for start, end in self.outages)

    def _draw(self) -> float:
        if not self._draws:
            self._draws = self.rng.random(_DRAWS).tolist()
        return self._draws.pop()
