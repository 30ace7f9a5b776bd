"""Moves one connection's datagrams through a port, and keeps its one timer."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol

from ecco_emu.host.virtual_time import VirtualLoop
from ecco_emu.transport.adapter.port import Port
from ecco_emu.transport.connection import Connection, ConnectionState
from ecco_emu.transport.paths import Address

_RETRY_S = 0.01
"""Retry interval while the socket is full. The event loop reports when it takes datagrams again; this is a
fallback."""

_TICK_S = 0.001
"""Resolution of uvloop's timers."""
_SOON_S = 0.05
"""A timer further off than this may stay armed although it would fire too early."""


class TransportClock(Protocol):
    """Emulated time, and its conversion to wall-clock durations."""

    def now(self) -> float: ...

    def wall_duration(self, emulated_s: float) -> float: ...


def whole_ticks(delay_s: float, wall_s: float) -> float:
    """A delay, no shorter than ``delay_s`` from ``wall_s``, that an event loop with millisecond timers keeps.

    uvloop rounds a delay to milliseconds, and counts from the last whole millisecond. A timer due in 0.4 ms
    would therefore fire at once, be armed again, and fire at once again, until the time has passed.
    """
    return math.ceil((wall_s + delay_s) / _TICK_S) * _TICK_S - math.floor(wall_s / _TICK_S) * _TICK_S


def _nothing() -> None:
    """The callback of a driver that has no listener yet."""


class Driver:
    """After every event of a connection, sends its datagrams and arms its timer."""

    def __init__(self, connection: Connection, port: Port, address: Address, clock: TransportClock) -> None:
        self.connection = connection
        self.port = port
        connection.address = address
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._exact_timers = isinstance(self._loop, VirtualLoop)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        self._pump_handle: asyncio.Handle | None = None
        self.on_pumped: Callable[[], None] = _nothing
        """Called when the connection may have events to take."""
        self.on_finished: Callable[[], None] = _nothing
        """Called when the connection no longer needs its port."""

    def now(self) -> float:
        return self._clock.now()

    def datagram(self, datagram: bytes, address: Address) -> None:
        """Takes one datagram. The caller calls ``pump`` after a batch of them."""
        self.connection.receive(datagram, self._clock.now(), address)

    def on_refused(self, size: int, address: Address) -> None:
        """The port refused a datagram of this size."""
        self.connection.on_refused(size, self._clock.now())

    def schedule(self) -> None:
        """Calls ``pump`` in the next turn of the event loop, once for any number of calls until then."""
        if self._pump_handle is None:
            self._pump_handle = self._loop.call_soon(self.pump)

    def pump(self) -> None:
        """Sends the datagrams that may leave, reports events, and arms the timer."""
        if self._pump_handle is not None:
            self._pump_handle.cancel()
            self._pump_handle = None
        now = self._clock.now()
        # The port's queue is short, and a datagram that it drops looks like loss on the path.
        if not self.port.congested:
            address = self.connection.address
            for datagram in self.connection.datagrams_to_send(now):
                self.port.send(datagram, address)
            challenge = self.connection.challenge_to_send(now)
            if challenge is not None:
                self.port.send(*challenge)
        self.on_pumped()
        self._arm(now)

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, now: float) -> None:
        due_s = self.connection.next_timer()
        if due_s is None:
            self.disarm()
            if self.connection.state is ConnectionState.CLOSED:
                self.on_finished()
            return
        if self.port.congested:
            due_s = max(due_s, now + _RETRY_S)
        if self._timer is not None:
            # Arming costs as much as a packet, and most calls move the due time by little.
            if self._fires_in_time(due_s, now):
                return
            self._timer.cancel()
        self._timer_s = due_s
        delay_s = self._clock.wall_duration(max(due_s - now, 0.0))
        if not self._exact_timers:
            delay_s = whole_ticks(delay_s, time.monotonic())
        self._timer = self._loop.call_later(delay_s, self._on_timer)

    def _fires_in_time(self, due_s: float, now: float) -> bool:
        """Whether the armed timer can stay.

        It must not fire after ``due_s``. It may fire up to a tick early, or earlier if it is still far off:
        it then finds nothing due and is armed again, which costs less than arming it anew with every
        datagram.
        """
        if self._timer_s > due_s:
            return False
        wall = self._clock.wall_duration
        return wall(due_s - self._timer_s) < _TICK_S or wall(self._timer_s - now) > _SOON_S

    def _on_timer(self) -> None:
        self._timer = None
        self.connection.on_timer(self._clock.now())
        self.pump()
