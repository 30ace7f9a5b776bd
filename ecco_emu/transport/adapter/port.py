"""How datagrams leave a connection and come to it: a port, over a socket or over an endpoint that calls back.

A port never raises. A datagram that cannot be sent counts as lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from ecco_emu.transport.paths import Address

RECEIVE_BATCH = 64
"""At most this many datagrams are read in one turn of the event loop, so that other tasks get their turns."""
POLL_S = 0.003
"""Interval at which a busy port is polled. A shaped link delivers packets one by one, and waking the event
loop for each costs as much as several packets. About the interval of acknowledgements (``acks``), so that one
turn both reads and acknowledges."""
_WORTH_POLLING, _TOO_MANY = 2, 32
_BUSY_TURNS, _BUSY_S, _BUSY_DATAGRAMS = 8, 0.008, 64
"""A port is busy when it was readable this often, in this time, with at most so many datagrams in all."""

OnDatagram = Callable[[bytes, Address], None]


class Port(Protocol):
    """One UDP port on the event loop."""

    on_batch: Callable[[], None]
    """Called after each batch of datagrams."""
    on_writable: Callable[[], None]
    """Called when a port that was congested takes datagrams again."""
    on_refused: Callable[[int, Address], None]
    """Called with size and destination of a datagram that is too large for the link."""
    send_errors: int
    """Datagrams that could not be sent."""

    @property
    def congested(self) -> bool:
        """Whether it is full. Callers should then not send."""

    def send(self, datagram: bytes, address: Address) -> None:
        """Sends a datagram, or queues it while the port is full."""

    def close(self) -> None:
        """Takes the port off the event loop. Idempotent."""


def nothing() -> None:
    """The callback of a port that is not in use yet."""


def no_size(size: int, address: Address) -> None:
    """The ``on_refused`` of a port that is not in use yet."""


def worth_polling(datagrams: int) -> bool:
    """Whether polling goes on after a poll that has found so many datagrams.

    With fewer, waiting for the port costs no more. With more (over 100 Mbit/s) datagrams come in batches
    anyway, and a sender whose window is full would lose time waiting for the next poll.
    """
    return _WORTH_POLLING <= datagrams <= _TOO_MANY


class Busy:
    """Detects that a port becomes readable so often, with so few datagrams each time, that polling is
    cheaper."""

    __slots__ = ("_datagrams", "_enough", "_since_s", "_turns")

    def __init__(self, turns: int = _BUSY_TURNS) -> None:
        self._enough = turns
        self._since_s = -math.inf
        self._turns = 0
        self._datagrams = 0

    def turn(self, datagrams: int, now: float) -> bool:
        """The port was readable and had ``datagrams``. Returns whether it is busy, and then counts anew."""
        if now - self._since_s > _BUSY_S:
            self._since_s, self._turns, self._datagrams = now, 0, 0
        self._turns += 1
        self._datagrams += datagrams
        if self._turns < self._enough:
            return False
        self._since_s = -math.inf
        return self._datagrams <= _BUSY_DATAGRAMS
