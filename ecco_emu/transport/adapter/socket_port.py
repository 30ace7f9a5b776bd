"""A UDP socket on the event loop. Reads are bounded per turn, and writes never raise."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

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

_SEND_QUEUE = 256
"""Datagrams that wait for a full socket; further ones are dropped."""
_MIN_RECEIVE_BYTES = 2048
"""Least size of the receive buffer. A datagram longer than the buffer is cut short, and then not
authentic."""

_PROBE = 3
"""IP_PMTUDISC_PROBE: never fragment, and ignore the path MTU that ICMP messages report. These are Linux's
numbers, because Python's ``socket`` does not define the names."""
_MTU_DISCOVER = {socket.AF_INET: (socket.IPPROTO_IP, 10), socket.AF_INET6: (socket.IPPROTO_IPV6, 23)}


def forbid_fragments(sock: socket.socket) -> None:
    """Sets the socket so that datagrams too large for a link are dropped, or refused with EMSGSIZE, and never
    fragmented."""
    if sock.family in _MTU_DISCOVER:
        level, option = _MTU_DISCOVER[sock.family]
        # Other systems have other numbers. There the path MTU search still finds black holes.
        with suppress(OSError):
            sock.setsockopt(level, option, _PROBE)


class SocketPort:
    """One non-blocking UDP socket on the event loop. The caller closes the socket after the port."""

    def __init__(
        self,
        sock: socket.socket,
        on_datagram: OnDatagram,
        *,
        max_datagram_bytes: int = _MIN_RECEIVE_BYTES,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._on_datagram = on_datagram
        self._waiting: deque[tuple[bytes, Address]] = deque()
        self._receive_bytes = max(max_datagram_bytes, _MIN_RECEIVE_BYTES)
        self._open = True
        self.on_batch: Callable[[], None] = nothing
        self.on_writable: Callable[[], None] = nothing
        self.on_refused: Callable[[int, Address], None] = no_size
        self.send_errors = 0
        forbid_fragments(sock)
        self._busy = Busy()
        self._poll: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock, self._on_readable)

    @property
    def congested(self) -> bool:
        """Whether the socket's buffer is full. Callers should then not send."""
        return bool(self._waiting)

    def send(self, datagram: bytes, address: Address) -> None:
        """Sends a datagram, or queues it while the socket is full. Errors count as loss of the datagram."""
        if not self._open:
            return
        # Behind those that wait, so that datagrams keep their order.
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
        """Takes the socket off the event loop. Idempotent."""
        if not self._open:
            return
        self._open = False
        if self._poll is not None:
            self._poll.cancel()
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
        """The socket takes datagrams again: sends those that wait."""
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
        """Counts a send error: no route, link down, no buffer, filtered or too large. The packet is lost."""
        self.send_errors += 1
        if error.errno == errno.EMSGSIZE:
            self.on_refused(size, address)

    def _on_readable(self) -> None:
        """Reads a batch, and changes to polling when the socket is busy."""
        count = self._read()
        if self._open and self._busy.turn(count, time.monotonic()):
            self._loop.remove_reader(self._sock)
            self._poll = self._loop.call_later(POLL_S, self._on_poll)

    def _on_poll(self) -> None:
        """Reads a batch. Stops polling when it held next to nothing, or a lot."""
        self._poll = None
        count = self._read()
        if not self._open:
            return
        if worth_polling(count):
            self._poll = self._loop.call_later(POLL_S, self._on_poll)
        else:
            self._loop.add_reader(self._sock, self._on_readable)

    def _read(self) -> int:
        """Reads at most a batch of datagrams, and returns their number."""
        count = 0
        receive, on_datagram, size = self._sock.recvfrom, self._on_datagram, self._receive_bytes
        for _ in range(RECEIVE_BATCH):
            try:
                datagram, address = receive(size)
            except (BlockingIOError, InterruptedError):
                break
            # The kernel reports an earlier ICMP error (such as port unreachable) once, in place of a
            # datagram.
            except OSError:
                continue
            on_datagram(datagram, address)
            count += 1
        self.on_batch()
        return count
