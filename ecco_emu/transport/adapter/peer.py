"""What an application holds: one established connection, awaited."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from ecco_emu.transport.adapter.driver import Driver, TransportClock
from ecco_emu.transport.adapter.port import Port
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.connection import Connection
from ecco_emu.transport.events import (
    Closed,
    Connected,
    ConnectionClosed,
    Delivery,
    VideoOutcome,
)
from ecco_emu.transport.handshake import NONCE_BYTES
from ecco_emu.transport.paths import Address
from ecco_emu.transport.share_report import ShareReport
from ecco_emu.transport.skips import ENTROPY_BYTES
from ecco_emu.transport.stats import ConnectionStats
from ecco_emu.transport.telemetry import TelemetryFactory

OutcomeCallback = Callable[[VideoOutcome], None]


def _nothing() -> None:
    """What closing a peer means to a port with other peers on it."""


class Peer:
    """The other end of one established connection, on either side.

    Made by ``connect`` and ``Listener.accept``. ``close`` it when done.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._connection = driver.connection
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._drained: list[tuple[int, int, asyncio.Future[None]]] = []
        self._outcomes: dict[int, OutcomeCallback] = {}
        self._close_reason: str | None = None
        self.on_closed: Callable[[], None] = _nothing
        """Called by ``close``: whoever owns the port alone lets go of it at once."""
        self.weight: float | None = None
        """On the server: what part of the bandwidth this peer is to get, beside the others' weights. It is
        told about its share for as long as it has one."""
        self.connected = asyncio.Event()
        """Set when the handshake is done, or has failed."""
        driver.on_pumped = self._on_pumped

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
    def datagram_bytes(self) -> int:
        """The largest datagram that the path is believed to carry."""
        return self._connection.datagram_bytes

    @property
    def stats(self) -> ConnectionStats:
        return self._connection.stats

    @property
    def idle_s(self) -> float:
        """Server: for how long the peer had nothing to send so far, by its own newest word."""
        return self._connection.peer_idle_s

    def set_alpha(self, alpha: float) -> None:
        """GAIMD's increase in packets per round trip, from now on."""
        self._connection.set_alpha(alpha)

    def report_share(self, report: ShareReport) -> None:
        """Server: tells the peer about its share with the next packet, or at once."""
        self._connection.report_share(report)
        self._driver.schedule()

    async def receive(self) -> Delivery:
        """The next message or video. Raises ``ConnectionClosed`` once all that arrived was taken.

        One reader at a time.
        """
        while True:
            delivery = self._connection.next_delivery()
            if delivery is not None:
                if self._connection.owes_window:
                    self._driver.schedule()
                return delivery
            if self._close_reason is not None:
                raise ConnectionClosed(self._close_reason)
            self._changed.clear()
            await self._changed.wait()

    def send(self, channel: int, message: bytes) -> None:
        """Queues a message on a reliable channel. Raises ``SendQueueFull`` or ``ConnectionClosed``."""
        self._check_open()
        self._connection.send(channel, message, self._driver.now())
        self._driver.schedule()

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
        number = self._connection.send_video(message, deadline, self._driver.now())
        if on_outcome is not None:
            self._outcomes[number] = on_outcome
        self._driver.schedule()
        return number

    def end(self, reason: str) -> None:
        """As ``close``, but what the port still needs stays: the connection answers stragglers."""
        if not self.closed:
            self._connection.close(self._driver.now(), reason)
            self._driver.pump()

    async def close(self, reason: str = "closed") -> None:
        """Tells the peer and ends at once; ``drain`` first what must arrive. Idempotent."""
        self.end(reason)
        self.on_closed()
        await asyncio.sleep(0)

    def _check_open(self) -> None:
        if self._close_reason is not None:
            raise ConnectionClosed(self._close_reason)

    def _on_pumped(self) -> None:
        self._handle_signals()
        if self._drained:
            self._settle_drained()
        if self._connection.has_delivery or self._close_reason is not None:
            self._changed.set()

    def _handle_signals(self) -> None:
        while (signal := self._connection.next_signal()) is not None:
            if isinstance(signal, VideoOutcome):
                callback = self._outcomes.pop(signal.id, None)
                if callback is not None:
                    self._loop.call_soon(callback, signal)
            elif isinstance(signal, Connected):
                self.connected.set()
            elif isinstance(signal, Closed):
                self._on_end(signal.reason)

    def _settle_drained(self) -> None:
        waiting = []
        for channel, target, future in self._drained:
            if self._connection.acked_offset(channel) < target:
                waiting.append((channel, target, future))
            elif not future.done():
                future.set_result(None)
        self._drained = waiting

    def _on_end(self, reason: str) -> None:
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
    telemetry: TelemetryFactory | None = None,
) -> Peer:
    """Connects over a socket of its own, trying until the handshake times out (``ConnectionClosed``).

    ``server_address`` must be numeric: nothing is resolved here.
    """
    connection = Connection.connect(
        config,
        name=name,
        token=token,
        nonce=os.urandom(NONCE_BYTES),
        now=clock.now(),
        telemetry=telemetry(name, "client") if telemetry is not None else None,
        entropy=os.urandom(ENTROPY_BYTES),
    )
    port = Port(
        sock,
        lambda datagram, address: driver.datagram(datagram, address),
        max_datagram_bytes=config.max_datagram_bytes,
    )
    driver = Driver(connection, port, server_address, clock)
    peer = Peer(driver)

    def let_go() -> None:
        driver.disarm()
        port.close()

    port.on_batch = port.on_writable = driver.pump
    port.on_refused = driver.on_refused
    driver.on_finished = peer.on_closed = let_go
    driver.pump()
    try:
        await peer.connected.wait()
    except asyncio.CancelledError:
        connection.close(clock.now(), "cancelled")
        driver.pump()
        raise
    if peer.close_reason is not None:
        raise ConnectionClosed(peer.close_reason)
    return peer
