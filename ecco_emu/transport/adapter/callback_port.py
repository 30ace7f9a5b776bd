"""A port over an endpoint that hands datagrams over by itself, such as a port of a simulated node."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Protocol

from ecco_emu.transport.adapter.port import (
    POLL_S,
    RECEIVE_BATCH,
    Busy,
    OnDatagram,
    no_size,
    nothing,
    worth_polling,
)
from ecco_emu.transport.paths import Address


class DatagramEndpoint(Protocol):
    """Sends datagrams, and calls back with those that arrive."""

    on_datagram: Callable[[bytes, Address], None]
    on_batch: Callable[[], None]
    """Called after the datagrams that came together."""
    coalesce_s: float
    """For so long after a batch, datagrams may wait for others and come together."""

    def send(self, data: bytes, address: Address) -> None:
        """Never blocks. Raises ``OSError``, with EMSGSIZE for a datagram that is too large."""


class CallbackPort:
    """Does with an endpoint as ``SocketPort`` does with a socket: datagrams come in batches of the same size,
    and a busy endpoint is heard as seldom. So a sender gets its acknowledgements in the same rhythm."""

    congested = False

    def __init__(self, endpoint: DatagramEndpoint, on_datagram: OnDatagram) -> None:
        self._time = asyncio.get_running_loop().time
        self._endpoint = endpoint
        self._on_datagram = on_datagram
        self._open = True
        self._count = 0
        self._busy = Busy()
        self.on_batch: Callable[[], None] = nothing
        self.on_writable: Callable[[], None] = nothing
        self.on_refused: Callable[[int, Address], None] = no_size
        self.send_errors = 0
        endpoint.on_datagram, endpoint.on_batch = self._receive, self._end_batch

    def send(self, datagram: bytes, address: Address) -> None:
        if not self._open:
            return
        try:
            self._endpoint.send(datagram, address)
        except OSError as error:
            self.send_errors += 1
            if error.errno == errno.EMSGSIZE:
                self.on_refused(len(datagram), address)

    def close(self) -> None:
        self._open = False
        self._endpoint.coalesce_s = 0.0

    def _receive(self, datagram: bytes, address: Address) -> None:
        if not self._open:
            return
        self._on_datagram(datagram, address)
        self._count += 1
        if self._count % RECEIVE_BATCH == 0:
            self.on_batch()

    def _end_batch(self) -> None:
        if not self._open:
            return
        count, self._count = self._count, 0
        if count % RECEIVE_BATCH:
            self.on_batch()
        polls = self._endpoint.coalesce_s > 0
        if worth_polling(count) if polls else self._busy.turn(count, self._time()):
            self._endpoint.coalesce_s = POLL_S
        elif polls:
            self._endpoint.coalesce_s = 0.0
