"""The one place where the transport meets asyncio and sockets.

Sockets are handed in: non-blocking UDP, bound in whatever namespace they belong to, and they stay
the caller's to close (after the peer or listener). A link that is down, a full queue, an ICMP error
are all loss as far as this module is concerned. Works on asyncio's own loop and on uvloop.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from ecco_emu.transport.auth import Session
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.connection import Connection, State
from ecco_emu.transport.events import (
    Closed,
    Connected,
    ConnectionClosed,
    Delivery,
    VideoOutcome,
)
from ecco_emu.transport.handshake import NONCE_BYTES, ServerHandshake
from ecco_emu.transport.stats import ConnectionStats
from ecco_emu.transport.wire import DATA, HEADER

RECEIVE_BATCH = 64
"""Most datagrams taken in one turn of the event loop, so that other tasks get theirs."""
_SEND_QUEUE = 256
_MAX_DATAGRAM_BYTES = 65535

Address = Any
"""What ``recvfrom`` returned: opaque here."""
OutcomeCallback = Callable[[VideoOutcome], None]


class TransportClock(Protocol):
    """Emulated time, and how long it takes on the wall."""

    def now(self) -> float: ...

    def wall_duration(self, emulated_s: float) -> float: ...


def _nothing() -> None:
    """The callback of a wire that is not in use yet."""


class _Wire:
    """A socket on the event loop: bounded reading, writing that never raises."""

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


class Peer:
    """The other end of one established connection, on either side.

    Made by ``connect`` and ``Listener.accept``. ``close`` it when done.
    """

    def __init__(self, connection: Connection, wire: _Wire, address: Address, clock: TransportClock) -> None:
        self._connection = connection
        self._wire = wire
        self._address = address
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        self._pump_handle: asyncio.Handle | None = None
        self._changed = asyncio.Event()
        self._drained: list[tuple[int, int, asyncio.Future[None]]] = []
        self._outcomes: dict[int, OutcomeCallback] = {}
        self._close_reason: str | None = None
        self._on_finished: Callable[[], None] = _nothing
        """Called when the connection needs its wire no more."""
        self._on_closed: Callable[[], None] = _nothing
        """Called by ``close``: whoever owns the wire alone lets go of it at once."""
        self.connected = asyncio.Event()
        """Set when the handshake is done, or has failed."""

    @property
    def name(self) -> str:
        """The camera's id, on both sides."""
        return self._connection.name

    @property
    def closed(self) -> bool:
        return self._close_reason is not None

    @property
    def close_reason(self) -> str | None:
        return self._close_reason

    @property
    def allowed_rate_bps(self) -> float:
        """What congestion control lets through now, in bits of UDP payload per emulated second."""
        return self._connection.allowed_rate_bps

    @property
    def queue_delay_s(self) -> float:
        return self._connection.queue_delay_s

    @property
    def rtt_s(self) -> float:
        return self._connection.rtt_s

    @property
    def video_backlog_bytes(self) -> int:
        return self._connection.video_backlog_bytes

    @property
    def stats(self) -> ConnectionStats:
        return self._connection.stats

    def set_alpha(self, alpha: float) -> None:
        self._connection.set_alpha(alpha)

    async def receive(self) -> Delivery:
        """The next message or video. Raises ``ConnectionClosed`` once all that arrived was taken.

        One reader at a time.
        """
        while True:
            delivery = self._connection.next_delivery()
            if delivery is not None:
                self._schedule_pump()  # there may be a window to announce
                return delivery
            if self._close_reason is not None:
                raise ConnectionClosed(self._close_reason)
            self._changed.clear()
            await self._changed.wait()

    def send(self, channel: int, message: bytes) -> None:
        """Queues a message on a reliable channel. Raises ``SendQueueFull`` or ``ConnectionClosed``."""
        self._check_open()
        self._connection.send(channel, message, self._clock.now())
        self._schedule_pump()

    async def drain(self, channel: int) -> None:
        """Waits until everything sent on the channel so far was acknowledged. Raises ``ConnectionClosed``."""
        self._check_open()
        target = self._connection.sent_offset(channel)
        if self._connection.acked_offset(channel) >= target:
            return
        future: asyncio.Future[None] = self._loop.create_future()
        self._drained.append((channel, target, future))
        await future

    def send_video(self, message: bytes, deadline: float, on_outcome: OutcomeCallback | None = None) -> int:
        """Queues video that is worth nothing after emulated ``deadline``; its id.

        ``on_outcome`` is called once from the event loop, not from inside this call. Raises
        ``ConnectionClosed``.
        """
        self._check_open()
        number = self._connection.send_video(message, deadline, self._clock.now())
        if on_outcome is not None:
            self._outcomes[number] = on_outcome
        self._schedule_pump()
        return number

    async def close(self, reason: str = "closed") -> None:
        """Tells the peer and ends at once; ``drain`` first what must arrive. Idempotent."""
        if not self.closed:
            self._connection.close(self._clock.now(), reason)
            self._pump()
        self._on_closed()
        await asyncio.sleep(0)

    def _own_wire(self) -> None:
        """This connection is the only one on its wire, and takes it down with it."""
        self._wire.on_batch = self._wire.on_writable = self._pump
        self._on_finished = self._on_closed = self._let_go

    def _let_go(self) -> None:
        self._disarm()
        self._wire.close()

    def _check_open(self) -> None:
        if self._close_reason is not None:
            raise ConnectionClosed(self._close_reason)

    def _datagram(self, datagram: bytes, address: Address) -> None:
        if self._connection.receive(datagram, self._clock.now()):
            self._address = address

    def _schedule_pump(self) -> None:
        if self._pump_handle is None:
            self._pump_handle = self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Sends what may be sent, tells what happened, arms the timer."""
        if self._pump_handle is not None:
            self._pump_handle.cancel()
            self._pump_handle = None
        now = self._clock.now()
        if not self._wire.congested:
            for datagram in self._connection.datagrams_to_send(now):
                self._wire.send(datagram, self._address)
        self._handle_signals()
        self._settle_drained()
        if self._connection.has_delivery or self._close_reason is not None:
            self._changed.set()
        self._arm(now)

    def _arm(self, now: float) -> None:
        due_s = self._connection.next_timer()
        if due_s is None:
            self._disarm()
            if self._connection.state is State.CLOSED:
                self._on_finished()
            return
        if self._wire.congested:
            due_s = max(due_s, now + 0.01)  # the socket will say when it takes more; this is a fallback
        if self._timer is not None:
            if self._timer_s <= due_s:
                return  # fires early, finds nothing due and arms again: cheaper than cancelling
            self._timer.cancel()
        self._timer_s = due_s
        delay_s = self._clock.wall_duration(max(due_s - now, 0.0))
        self._timer = self._loop.call_later(delay_s, self._on_timer)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        self._connection.on_timer(self._clock.now())
        self._pump()

    def _handle_signals(self) -> None:
        while (signal := self._connection.next_signal()) is not None:
            if isinstance(signal, VideoOutcome):
                callback = self._outcomes.pop(signal.id, None)
                if callback is not None:
                    self._loop.call_soon(callback, signal)
            elif isinstance(signal, Connected):
                self.connected.set()
            elif isinstance(signal, Closed):
                self._end(signal.reason)

    def _settle_drained(self) -> None:
        if not self._drained:
            return
        waiting = []
        for channel, target, future in self._drained:
            if self._connection.acked_offset(channel) < target:
                waiting.append((channel, target, future))
            elif not future.done():
                future.set_result(None)
        self._drained = waiting

    def _end(self, reason: str) -> None:
        self._close_reason = reason
        self.connected.set()
        for _, _, future in self._drained:
            if not future.done():
                future.set_exception(ConnectionClosed(reason))
        self._drained.clear()


async def connect(
    sock: socket.socket,
    server_address: Address,
    *,
    name: str,
    token: bytes,
    config: TransportConfig,
    clock: TransportClock,
) -> Peer:
    """Connects over a socket of its own, trying until the handshake times out (``ConnectionClosed``).

    ``server_address`` must be numeric: nothing is resolved here.
    """
    connection = Connection.connect(
        config, name=name, token=token, nonce=os.urandom(NONCE_BYTES), now=clock.now()
    )
    wire = _Wire(sock, lambda datagram, address: peer._datagram(datagram, address))
    peer = Peer(connection, wire, server_address, clock)
    peer._own_wire()
    peer._pump()
    try:
        await peer.connected.wait()
    except asyncio.CancelledError:
        connection.close(clock.now(), "cancelled")
        peer._pump()
        raise
    peer._check_open()
    return peer


class Listener:
    """The server's socket: handshakes, and the connections they make.

    A client that connects again under the same name replaces its old connection.
    """

    def __init__(
        self,
        sock: socket.socket,
        tokens: Mapping[str, bytes],
        config: TransportConfig,
        clock: TransportClock,
        *,
        backlog: int = 128,
    ) -> None:
        """Must be made on the running event loop. ``tokens``: the secret of every name."""
        self._config = config
        self._clock = clock
        self._handshake = ServerHandshake(tokens, secret=os.urandom(32))
        self._wire = _Wire(sock, self._datagram)
        self._wire.on_batch = self._pump_touched
        self._wire.on_writable = self._pump_all
        self._by_id: dict[bytes, Peer] = {}
        self._by_name: dict[str, Peer] = {}
        self._touched: dict[Peer, None] = {}
        self._accepted: asyncio.Queue[Peer | None] = asyncio.Queue(backlog + 1)
        self._backlog = backlog
        self.unknown = 0
        """Datagrams of no connection here."""

    @property
    def peers(self) -> list[Peer]:
        """Connections that are open, accepted yet or not."""
        return [peer for peer in self._by_name.values() if not peer.closed]

    @property
    def rejected(self) -> int:
        """Handshake datagrams that were forged, malformed, stale or from unknown names."""
        return self._handshake.rejected

    async def accept(self) -> Peer:
        """The next authenticated connection. Raises ``ConnectionClosed`` once the listener is closed."""
        while (peer := await self._accepted.get()) is not None:
            if not peer.closed:
                return peer
        self._accepted.put_nowait(None)  # for whoever else waits
        raise ConnectionClosed("the listener is closed")

    async def close(self) -> None:
        """Closes every connection and stops listening. The socket stays open."""
        for peer in self.peers:
            await peer.close("the server is going away")
        for peer in list(self._by_id.values()):
            peer._disarm()
        self._by_id.clear()
        self._by_name.clear()
        self._wire.close()
        while not self._accepted.empty():
            self._accepted.get_nowait()
        self._accepted.put_nowait(None)

    def _datagram(self, datagram: bytes, address: Address) -> None:
        if len(datagram) >= HEADER.size and datagram[1] == DATA:
            peer = self._by_id.get(datagram[2:10])
            if peer is None:
                self.unknown += 1
                return
            peer._datagram(datagram, address)
            self._touched[peer] = None
            return
        answer = self._handshake.receive(datagram, repr(address).encode(), self._clock.now())
        if isinstance(answer, Session):
            self._open(answer, address)
        elif answer is not None:
            self._wire.send(answer, address)

    def _open(self, session: Session, address: Address) -> None:
        if self._accepted.qsize() >= self._backlog:
            self._handshake.release(session)
            return
        connection = Connection.accept(self._config, session, self._clock.now())
        peer = Peer(connection, self._wire, address, self._clock)
        peer._on_finished = partial(self._forget, peer)
        old = self._by_name.get(peer.name)
        if old is not None and not old.closed:
            old._connection.close(self._clock.now(), "replaced by a newer connection")
            self._touched[old] = None
        self._by_id[session.connection_id] = peer
        self._by_name[peer.name] = peer
        self._accepted.put_nowait(peer)
        self._touched[peer] = None

    def _pump_touched(self) -> None:
        touched, self._touched = self._touched, {}
        for peer in touched:
            peer._pump()

    def _pump_all(self) -> None:
        for peer in list(self._by_id.values()):
            peer._schedule_pump()

    def _forget(self, peer: Peer) -> None:
        self._by_id.pop(peer._connection.connection_id, None)
        with contextlib.suppress(KeyError):
            if self._by_name[peer.name] is peer:
                del self._by_name[peer.name]
