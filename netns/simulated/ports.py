"""UDP ports of simulated nodes, in place of sockets."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from netns.simulated.packets import HEADERS_BYTES

if TYPE_CHECKING:
    from netns.simulated.nodes import SimulatedNode
    from netns.simulated.switch import Switch

_OnDatagram = Callable[[bytes, tuple[str, int]], None]


def _ignore(datagram: bytes, source: tuple[str, int]) -> None:
    """The ``on_datagram`` of a port that nobody listens to."""


def _nothing() -> None:
    """The ``on_batch`` of a port whose owner does not need one."""


class DatagramPort:
    """A UDP port of a node. Made by ``Lab.datagram_port``.

    A datagram that arrives while nobody listens is lost. There is no buffer that could overflow, as that of a
    socket can.
    """

    __slots__ = (
        "_most_bytes",
        "_switch",
        "address",
        "checksums",
        "coalesce_s",
        "node",
        "on_batch",
        "on_datagram",
        "open",
        "quiet_until",
    )

    def __init__(self, switch: Switch, node: SimulatedNode, number: int, checksums: bool, mtu: int) -> None:
        self._switch = switch
        self.node = node
        self.address: tuple[str, int] = (node.address, number)
        self.checksums = checksums
        self._most_bytes = mtu - HEADERS_BYTES + 14
        self.open = True
        self.on_datagram: _OnDatagram = _ignore
        """Called with each datagram and the address of its sender."""
        self.on_batch: Callable[[], None] = _nothing
        """Called after the datagrams that came together."""
        self.coalesce_s = 0.0
        """After a batch, datagrams may wait for so long, and then come together: what a program does that
        looks into its socket now and then. It costs less than a turn of the event loop for each."""
        self.quiet_until = 0.0
        """The time until which they may wait."""

    def send(self, data: bytes | bytearray | memoryview, address: tuple[str, int]) -> None:
        """Sends a datagram. It never blocks, and one that does not arrive is not reported.

        Raises: ``OSError`` with EMSGSIZE for one that is too large for the MTU, since nothing is fragmented
        here, and with EBADF after ``close``. ``ValueError`` for an address that is none.
        """
        if len(data) > self._most_bytes:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        if not self.open:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        # The sender may change what it has given, so long as the datagram is under way.
        self._switch.send(self, data if type(data) is bytes else bytes(data), address)

    def close(self) -> None:
        """Gives the port's number back. What arrives for it is lost. Idempotent."""
        if self.open:
            self.open = False
            self.node.close_port(self.address[1])
            self.on_datagram, self.on_batch = _ignore, _nothing
