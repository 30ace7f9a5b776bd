"""The application's asyncio interface to one established connection."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from ecco_emu.transport.adapter.driver import Driver, TransportClock
from ecco_emu.transport.adapter.opening import DatagramSocket, open_port
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
Entropy = Callable[[int], bytes]
"""Random bytes, as many as asked for: ``os.urandom``, or a seeded source where a run is to be repeatable."""


def _nothing() -> None:
    """The callback of a peer that shares its port: closing it must not close the port."""


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
        """Called by ``close``. A client releases its own port there."""
        self.weight: float | None = None
        """On the server: the peer's weight in sharing the bottleneck, relative to the others' weights. While
        it is not None, the peer gets share reports."""
        self.connected = asyncio.Event()
        """Set when the handshake has succeeded or failed."""
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
        """The rate that congestion control allows now, in bits of UDP payload per emulated second."""
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
        """Server: the total time in which the peer had nothing to send, from its newest IDLE frame."""
        return self._connection.peer_idle_s

    def set_alpha(self, alpha: float) -> None:
        """Sets GAIMD's increase, in packets per round trip. Raises ``ValueError`` outside (0, 1000]."""
        self._connection.set_alpha(alpha)

    def report_share(self, report: ShareReport) -> None:
        """Server: sends the peer a share report, with the next packet or in one of its own."""
        self._connection.report_share(report)
        self._driver.schedule()

    async def receive(self) -> Delivery:
        """The next message or video. Only one task may call it at a time.

        After the end of the connection it first returns the remaining deliveries, then raises
        ``ConnectionClosed``.
        """
        while True:
            delivery = self._connection.next_delivery()
            if delivery is not None:
                # The peer may be waiting for this WINDOW, and no other event would send it.
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
        """Waits until all messages sent on the channel so far are acknowledged. Raises
        ``ConnectionClosed``."""
        self._check_open()
        target = self._connection.sent_offset(channel)
        if self._connection.acked_offset(channel) >= target:
            return
        future: asyncio.Future[None] = self._loop.create_future()
        self._drained.append((channel, target, future))
        await future

    def send_video(self, message: bytes, deadline: float, on_outcome: OutcomeCallback | None = None) -> int:
        """Queues a video message that is worthless after ``deadline`` (emulated seconds), and returns its id.

        ``on_outcome`` is called once, from the event loop and never from inside this call. Raises
        ``ConnectionClosed``, or ``ValueError`` for a message of a wrong size.
        """
        self._check_open()
        number = self._connection.send_video(message, deadline, self._driver.now())
        if on_outcome is not None:
            self._outcomes[number] = on_outcome
        self._driver.schedule()
        return number

    def end(self, reason: str) -> None:
        """Closes the connection but keeps its port, so that the connection still answers late packets."""
        if not self.closed:
            self._connection.close(self._driver.now(), reason)
            self._driver.pump()

    async def close(self, reason: str = "closed") -> None:
        """Closes the connection at once and tells the peer. Call ``drain`` first for messages that must
        arrive. Idempotent."""
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
                # Not called here: this may run inside ``send_video``, before its caller knows the id.
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
        self.connected.set()  # wakes ``connect``, which raises
        for _, _, future in self._drained:
            if not future.done():
                future.set_exception(ConnectionClosed(reason))
        self._drained.clear()


async def connect(
    sock: DatagramSocket,
    server_address: Address,
    *,
    name: str,
    token: bytes,
    config: TransportConfig,
    clock: TransportClock,
    telemetry: TelemetryFactory | None = None,
    entropy: Entropy = os.urandom,
) -> Peer:
    """Connects over a socket that no other connection uses.

    Repeats the handshake until it times out, and then raises ``ConnectionClosed``. ``server_address`` must be
    numeric: host names are not resolved. ``entropy``: where random bytes come from.
    """
    connection = Connection.connect(
        config,
        name=name,
        token=token,
        nonce=entropy(NONCE_BYTES),
        now=clock.now(),
        telemetry=telemetry(name, "client") if telemetry is not None else None,
        entropy=entropy(ENTROPY_BYTES),
    )
    port = open_port(
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
