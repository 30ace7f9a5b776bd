"""A socket on the event loop: bounded reading, writing that never raises."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

RECEIVE_BATCH = 64
"""Most datagrams taken in one turn of the event loop, so that other tasks get theirs."""
_SEND_QUEUE = 256
_MIN_RECEIVE_BYTES = 2048
"""What is longer than this, and than what this side sends, is cut short and so not authentic."""

_PROBE = 3
"""Never fragment, and do not believe ICMP either (Linux's IP_PMTUDISC_PROBE). Linux's numbers, as Python's
``socket`` does not name them."""
_MTU_DISCOVER = {socket.AF_INET: (socket.IPPROTO_IP, 10), socket.AF_INET6: (socket.IPPROTO_IPV6, 23)}

Address = Any
"""What ``recvfrom`` returned: opaque here."""


def _nothing() -> None:
    """The callback of a port that is not in use yet."""


def _no_size(size: int, address: Address) -> None:
    """As ``_nothing``."""


def forbid_fragments(sock: socket.socket) -> None:
    """Datagrams too large for a link on the way are dropped, or refused with EMSGSIZE; never cut up."""
    if sock.family in _MTU_DISCOVER:
        level, option = _MTU_DISCOVER[sock.family]
        with suppress(OSError):  # another system, another way
            sock.setsockopt(level, option, _PROBE)


class Port:
    """One non-blocking UDP socket, which stays the caller's to close."""

    def __init__(
        self,
        sock: socket.socket,
        on_datagram: Callable[[bytes, Address], None],
        *,
        max_datagram_bytes: int = _MIN_RECEIVE_BYTES,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._on_datagram = on_datagram
        self._waiting: deque[tuple[bytes, Address]] = deque()
        self._receive_bytes = max(max_datagram_bytes, _MIN_RECEIVE_BYTES)
        self._open = True
        self.on_batch: Callable[[], None] = _nothing
        """Called after each batch of datagrams."""
        self.on_writable: Callable[[], None] = _nothing
        """Called when the socket takes datagrams again after being full."""
        self.on_refused: Callable[[int, Address], None] = _no_size
        """Called with the size of a datagram that is too large for the link, and where it was to go."""
        self.send_errors = 0
        forbid_fragments(sock)
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
        except OSError as error:
            self._on_error(error, len(datagram), address)

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
            datagram, address = self._waiting[0]
            try:
                self._sock.sendto(datagram, address)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._on_error(error, len(datagram), address)
            self._waiting.popleft()
        self._loop.remove_writer(self._sock)
        self.on_writable()

    def _on_error(self, error: OSError, size: int, address: Address) -> None:
        """No route, link down, no buffer, filtered, too large: the packet is lost."""
        self.send_errors += 1
        if error.errno == errno.EMSGSIZE:
            self.on_refused(size, address)

    def _read(self) -> None:
        receive, on_datagram, size = self._sock.recvfrom, self._on_datagram, self._receive_bytes
        for _ in range(RECEIVE_BATCH):
            try:
                datagram, address = receive(size)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # a queued ICMP error, reported once
                continue
            on_datagram(datagram, address)
        self.on_batch()
