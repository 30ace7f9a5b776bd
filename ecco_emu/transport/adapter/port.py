"""A socket on the event loop: bounded reading, writing that never raises."""

from __future__ import annotations

import asyncio
import errno
import math
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from ecco_emu.transport.paths import Address

RECEIVE_BATCH = 64
"""Most datagrams taken in one turn of the event loop, so that other tasks get theirs."""
_POLL_S = 0.003
"""A busy socket is read so often: each turn of the event loop costs as much as several packets do, and a
shaped link hands them over one by one. As often as acknowledgements leave (``acks``), so that one turn does
both."""
_WORTH_POLLING, _TOO_MANY = 2, 32
"""Datagrams per look. With fewer, waiting for the socket costs no more; with more (over 100 Mbit/s) they come
in batches anyway, and a sender would wait for a window's acknowledgement."""
_BUSY_TURNS, _BUSY_S, _BUSY_DATAGRAMS = 8, 0.008, 64
_SEND_QUEUE = 256
_MIN_RECEIVE_BYTES = 2048
"""What is longer than this, and than what this side sends, is cut short and so not authentic."""

_PROBE = 3
"""Never fragment, and do not believe ICMP either (Linux's IP_PMTUDISC_PROBE). Linux's numbers, as Python's
``socket`` does not name them."""
_MTU_DISCOVER = {socket.AF_INET: (socket.IPPROTO_IP, 10), socket.AF_INET6: (socket.IPPROTO_IPV6, 23)}


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


class Busy:
    """Whether a socket becomes readable so often, and for so little, that polling it costs less."""

    __slots__ = ("_datagrams", "_enough", "_since_s", "_turns")

    def __init__(self, turns: int = _BUSY_TURNS) -> None:
        self._enough = turns
        self._since_s = -math.inf
        self._turns = 0
        self._datagrams = 0

    def turn(self, datagrams: int, now: float) -> bool:
        """The socket was readable. True: ``turns`` times in 8 ms, with 64 datagrams in all at most."""
        if now - self._since_s > _BUSY_S:
            self._since_s, self._turns, self._datagrams = now, 0, 0
        self._turns += 1
        self._datagrams += datagrams
        if self._turns < self._enough:
            return False
        self._since_s = -math.inf
        return self._datagrams <= _BUSY_DATAGRAMS


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
        self._busy = Busy()
        self._poll: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock, self._on_readable)

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

    def _on_readable(self) -> None:
        count = self._read()
        if self._open and self._busy.turn(count, time.monotonic()):
            self._loop.remove_reader(self._sock)
            self._poll = self._loop.call_later(_POLL_S, self._on_poll)

    def _on_poll(self) -> None:
        """Reads what came since; waits for the socket again when that was next to nothing, or much."""
        self._poll = None
        count = self._read()
        if not self._open:
            return
        if _WORTH_POLLING <= count <= _TOO_MANY:
            self._poll = self._loop.call_later(_POLL_S, self._on_poll)
        else:
            self._loop.add_reader(self._sock, self._on_readable)

    def _read(self) -> int:
        """Takes what waits, at most a batch, and says how many datagrams that was."""
        count = 0
        receive, on_datagram, size = self._sock.recvfrom, self._on_datagram, self._receive_bytes
        for _ in range(RECEIVE_BATCH):
            try:
                datagram, address = receive(size)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # a queued ICMP error, reported once
                continue
            on_datagram(datagram, address)
            count += 1
        self.on_batch()
        return count
