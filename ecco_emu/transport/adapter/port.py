"""A socket on the event loop: bounded reading, writing that never raises."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

RECEIVE_BATCH = 64
"""Most datagrams taken in one turn of the event loop, so that other tasks get theirs."""
_SEND_QUEUE = 256
_MAX_DATAGRAM_BYTES = 65535

Address = Any
"""What ``recvfrom`` returned: opaque here."""


def _nothing() -> None:
    """The callback of a port that is not in use yet."""


class Port:
    """One non-blocking UDP socket, which stays the caller's to close."""

    def __init__(self, sock: socket.socket, on_datagram: Callable[[bytes, Address], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._on_datagram = on_datagram
        self._waiting: deque[tuple[bytes, Address]] = deque()
        self._open = True
        self.on_batch: Callable[[], None] = _nothing
        """Called after each batch of datagrams."""
        self.on_writable: Callable[[], None] = _nothing
        """Called when the socket takes datagrams again after being full."""
        self.send_errors = 0
        self._loop.add_reader(sock, self._read)

    @property
    def congested(self) -> bool:
        """The socket's own buffer is full; hold back until it is not."""
        return bool(self._waiting)

    def send(self, datagram: bytes, address: Address) -> None:
        if not self._open:
            return
        if self._waiting:
            self._wait(datagram, address)
            return
        try:
            self._sock.sendto(datagram, address)
        except (BlockingIOError, InterruptedError):
            self._loop.add_writer(self._sock, self._write)
            self._wait(datagram, address)
        except OSError:  # no route, link down, no buffer, filtered: the packet is lost
            self.send_errors += 1

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._sock)
        if self._waiting:
            self._loop.remove_writer(self._sock)
            self._waiting.clear()

    def _wait(self, datagram: bytes, address: Address) -> None:
        if len(self._waiting) < _SEND_QUEUE:
            self._waiting.append((datagram, address))
        else:
            self.send_errors += 1

    def _write(self) -> None:
        while self._waiting:
            try:
                self._sock.sendto(*self._waiting[0])
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.send_errors += 1
            self._waiting.popleft()
        self._loop.remove_writer(self._sock)
        self.on_writable()

    def _read(self) -> None:
        receive, on_datagram = self._sock.recvfrom, self._on_datagram
        for _ in range(RECEIVE_BATCH):
            try:
                datagram, address = receive(_MAX_DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # a queued ICMP error, reported once
                continue
            on_datagram(datagram, address)
        self.on_batch()
