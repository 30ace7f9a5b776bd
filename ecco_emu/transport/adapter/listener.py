"""The server's socket: answers handshakes, and passes datagrams to the connections that they establish."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import partial

from ecco_emu.transport.adapter.driver import Driver, TransportClock
from ecco_emu.transport.adapter.opening import DatagramSocket, open_port
from ecco_emu.transport.adapter.peer import Entropy, Peer
from ecco_emu.transport.auth import Session
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.connection import Connection
from ecco_emu.transport.events import ConnectionClosed
from ecco_emu.transport.handshake import ServerHandshake
from ecco_emu.transport.paths import Address
from ecco_emu.transport.share_meter import ShareMeter
from ecco_emu.transport.skips import ENTROPY_BYTES
from ecco_emu.transport.telemetry import TelemetryFactory
from ecco_emu.transport.wire import DATA, HEADER


class Listener:
    """Accepts connections on one socket.

    A client that connects again under the same name replaces its old connection.
    """

    def __init__(
        self,
        sock: DatagramSocket,
        tokens: Mapping[str, bytes],
        config: TransportConfig,
        clock: TransportClock,
        *,
        backlog: int = 128,
        telemetry: TelemetryFactory | None = None,
        entropy: Entropy = os.urandom,
    ) -> None:
        """Must be called on the running event loop. ``tokens``: the secret of every name. ``backlog``:
        established connections that may wait for ``accept``. ``entropy``: where random bytes come from."""
        self._config = config
        self._clock = clock
        self._telemetry = telemetry
        self._entropy = entropy
        self._handshake = ServerHandshake(tokens, secret=entropy(32))
        self._port = open_port(sock, self._datagram, max_datagram_bytes=config.max_datagram_bytes)
        self._port.on_batch = self._pump_touched
        self._port.on_writable = self._pump_all
        self._port.on_refused = self._refused
        self._by_id: dict[bytes, Driver] = {}
        self._by_name: dict[str, Peer] = {}
        self._touched: dict[Driver, None] = {}
        self._accepted: asyncio.Queue[Peer | None] = asyncio.Queue(backlog + 1)
        self._backlog = backlog
        self._shares = ShareMeter(config.max_datagram_bytes)
        self._loop = asyncio.get_running_loop()
        self._share_timer = self._loop.call_later(self._share_interval_s, self._report_shares)
        self.unknown = 0
        """Data datagrams whose connection id is not known here."""

    @property
    def peers(self) -> list[Peer]:
        """The open connections, including those that wait for ``accept``."""
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
        # Other tasks may wait in ``accept`` too, and each takes one None.
        self._accepted.put_nowait(None)
        raise ConnectionClosed("the listener is closed")

    async def close(self) -> None:
        """Closes every connection and stops listening. The caller closes the socket."""
        self._share_timer.cancel()
        for peer in self.peers:
            await peer.close("the server is going away")
        for driver in self._by_id.values():
            driver.disarm()
        self._by_id.clear()
        self._by_name.clear()
        self._port.close()
        while not self._accepted.empty():
            self._accepted.get_nowait()
        self._accepted.put_nowait(None)

    def _datagram(self, datagram: bytes, address: Address) -> None:
        # The connection id, not the address, finds the connection: a camera's address may change.
        if len(datagram) >= HEADER.size and datagram[1] == DATA:
            driver = self._by_id.get(datagram[2:10])
            if driver is None:
                self.unknown += 1
                return
            driver.datagram(datagram, address)
            self._touched[driver] = None
            return
        answer = self._handshake.receive(datagram, repr(address).encode(), self._clock.now())
        if isinstance(answer, Session):
            self._open(answer, address)
        elif answer is not None:
            self._port.send(answer, address)

    def _open(self, session: Session, address: Address) -> None:
        # Without room the client gets no answer, and repeats its RESPONSE.
        if self._accepted.qsize() >= self._backlog:
            self._handshake.release(session)
            return
        watcher = self._telemetry(session.name, "server") if self._telemetry is not None else None
        entropy = self._entropy(ENTROPY_BYTES)
        connection = Connection.accept(self._config, session, self._clock.now(), watcher, entropy)
        driver = Driver(connection, self._port, address, self._clock)
        peer = Peer(driver)
        driver.on_finished = partial(self._forget, connection, peer)
        self._replace(peer)
        self._by_id[session.connection_id] = driver
        self._accepted.put_nowait(peer)
        self._touched[driver] = None

    def _replace(self, peer: Peer) -> None:
        """Makes this the camera's only connection, and ends an older one."""
        old = self._by_name.get(peer.name)
        if old is not None and not old.closed:
            old.end("replaced by a newer connection")
        self._by_name[peer.name] = peer

    @property
    def _share_interval_s(self) -> float:
        """The interval between share reports in wall-clock seconds."""
        return self._clock.wall_duration(self._config.share_interval_s)

    def _report_shares(self) -> None:
        """Sends a share report to every peer that has a weight, and schedules the next round."""
        sharing = {peer.name: peer for peer in self.peers if peer.weight is not None}
        received = {name: peer.stats.bytes_received for name, peer in sharing.items()}
        weights = {name: peer.weight for name, peer in sharing.items() if peer.weight is not None}
        self._shares.set_weights(weights, received)
        idle = {name: peer.idle_s for name, peer in sharing.items()}
        for name, report in self._shares.report(received, self._clock.now(), idle).items():
            sharing[name].report_share(report)
        self._share_timer = self._loop.call_later(self._share_interval_s, self._report_shares)

    def _pump_touched(self) -> None:
        """Pumps each connection once for a whole batch of datagrams, so that it acknowledges them
        together."""
        touched, self._touched = self._touched, {}
        for driver in touched:
            driver.pump()

    def _pump_all(self) -> None:
        for driver in self._by_id.values():
            driver.schedule()

    def _refused(self, size: int, address: Address) -> None:
        for driver in self._by_id.values():
            if driver.connection.address == address:
                driver.on_refused(size, address)

    def _forget(self, connection: Connection, peer: Peer) -> None:
        self._by_id.pop(connection.connection_id, None)
        if self._by_name.get(peer.name) is peer:
            del self._by_name[peer.name]
