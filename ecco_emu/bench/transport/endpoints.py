"""One end of a bulk transfer in a process of its own, by our transport, by aioquic or by the kernel's TCP.

``receive`` and ``send`` are called in child processes. Each measures its own process's CPU time: from
``warmup_s`` after the connection is established, for ``measure_s``. The two ends do not begin at exactly the
same time, so the sender goes on sending until the receiver has surely measured to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import resource
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import netns
from ecco_emu.bench.transport.experiment import Protocol
from ecco_emu.bench.transport.real import keep_busy
from ecco_emu.control.shares import ALPHA_SUM
from ecco_emu.core.errors import HostError
from ecco_emu.host import event_loop, extras
from ecco_emu.host.clock import RunClock
from ecco_emu.transport import ConnectionClosed, Listener, Peer, TransportConfig, connect

if TYPE_CHECKING:
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.events import QuicEvent

PORT = 4433
_LINGER_S = 1.0
"""How long the sender goes on after it has measured."""
_CONNECT_S = 10.0
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # not in Python's socket module
_BUFFER_BYTES = 1 << 22
_NAME, _TOKEN = "cam", b"a token for one measurement"
_PIECE = bytes(64 * 1024)
_AHEAD_BYTES = 256 * 1024
"""The unsent bytes that are kept in aioquic's stream: enough at any rate that it reaches."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One end's part of a transfer. ``namespace`` is the path of this end's network namespace; None: the
    process stays in its own. The other fields but ``own_address`` are the same at both ends."""

    protocol: Protocol
    namespace: str | None
    own_address: str
    server_address: str
    warmup_s: float
    measure_s: float


@dataclass(frozen=True, slots=True)
class EndCost:
    """The cost of one end in its measured time, ``wall_s``. ``bytes``: received application data;
    ``packets``: received datagrams, None for TCP, whose segments the kernel does not count for a process."""

    wall_s: float
    cpu_s: float
    system_s: float
    """The part of ``cpu_s`` in the kernel."""
    bytes: int
    packets: int | None


Counter = Callable[[], tuple[int, int | None]]
"""Returns the received bytes of application data and the received packets so far."""


def missing(protocol: Protocol) -> str | None:
    """The reason why a protocol cannot be measured on this host, or None if it can."""
    if protocol == "aioquic":
        return extras.BENCH.missing()
    if protocol in ("reno", "cubic"):
        try:
            _tcp_socket(protocol).close()
        except OSError as error:
            return f"this kernel has no TCP {protocol} ({error.strerror})"
    return None


def receive(transfer: Transfer) -> EndCost:
    """Runs the receiving end, which waits for the sender. Raises ``HostError``."""
    return _end(
        transfer, {"ecco-emu": _receive_ours, "aioquic": _receive_quic}.get(transfer.protocol), _receive_tcp
    )


def send(transfer: Transfer) -> EndCost:
    """Runs the sending end, which always has something to send. Raises ``HostError``."""
    return _end(transfer, {"ecco-emu": _send_ours, "aioquic": _send_quic}.get(transfer.protocol), _send_tcp)


def _end(
    transfer: Transfer,
    on_loop: Callable[[Transfer], Any] | None,
    blocking: Callable[[Transfer], EndCost],
) -> EndCost:
    if transfer.namespace is not None:
        netns.enter(transfer.namespace)
    if on_loop is None:
        return blocking(transfer)
    cost: EndCost = event_loop.run(on_loop(transfer))
    return cost


class _Meter:
    """Counts the process's CPU time, and the data that arrives, from its construction until ``read``."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._bytes, self._packets = counter()
        self._cpu = process_cpu()
        self._start_s = time.monotonic()

    def read(self) -> EndCost:
        wall_s = time.monotonic() - self._start_s
        cpu_s, system_s = (now - before for now, before in zip(process_cpu(), self._cpu, strict=True))
        count, packets = self._counter()
        received = None if packets is None or self._packets is None else packets - self._packets
        return EndCost(wall_s, cpu_s, system_s, count - self._bytes, received)


def process_cpu() -> tuple[float, float]:
    """Seconds of CPU that all threads of the calling process have used: altogether, and in the kernel
    alone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_stime


async def _measured(transfer: Transfer, counter: Counter) -> EndCost:
    await asyncio.sleep(transfer.warmup_s)
    meter = _Meter(counter)
    await asyncio.sleep(transfer.measure_s)
    return meter.read()


# Our transport, over UDP


def _udp_socket(address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        _enlarge_buffers(made)
        made.bind((address, port))
    except BaseException:
        made.close()
        raise
    return made


def _enlarge_buffers(sock: Any) -> None:
    """Enlarges a socket's buffers beyond the system's limits, as a lab does: a packet must be lost on the
    link or not at all."""
    for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
        with contextlib.suppress(PermissionError):
            sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)


async def _receive_ours(transfer: Transfer) -> EndCost:
    with _udp_socket(transfer.own_address, PORT) as own:
        listener = Listener(own, {_NAME: _TOKEN}, TransportConfig(), RunClock(1.0))
        reader = _Reader(await listener.accept())
        reading = asyncio.create_task(reader.run())
        try:
            return await _measured(transfer, reader.counted)
        finally:
            await _ended(reading)
            await listener.close()


class _Reader:
    """Reads a connection, and counts its data."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._data_bytes = 0

    def counted(self) -> tuple[int, int | None]:
        return self._data_bytes, self._peer.stats.packets_received

    async def run(self) -> None:
        while True:
            self._data_bytes += len((await self._peer.receive()).data)


async def _send_ours(transfer: Transfer) -> EndCost:
    with _udp_socket(transfer.own_address, 0) as own:
        peer = await connect(
            own,
            (transfer.server_address, PORT),
            name=_NAME,
            token=_TOKEN,
            config=TransportConfig(alpha=ALPHA_SUM),
            clock=RunClock(1.0),
        )
        sending = asyncio.create_task(keep_busy(peer))
        try:
            cost = await _measured(transfer, lambda: (0, peer.stats.packets_received))
            await asyncio.sleep(_LINGER_S)
        finally:
            await peer.close()
            await _ended(sending)
    return cost


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
        await task


# aioquic


async def _receive_quic(transfer: Transfer) -> EndCost:
    from aioquic.asyncio.server import serve

    protocol_class, connected = _quic_protocol(), asyncio.get_running_loop().create_future()

    def made(*args: Any, **options: Any) -> QuicConnectionProtocol:
        protocol: QuicConnectionProtocol = protocol_class(*args, **options)
        if not connected.done():
            connected.set_result(protocol)
        return protocol

    with _certificate() as (certificate, private_key):
        configuration = _quic_configuration(is_client=False)
        configuration.load_cert_chain(certificate, private_key)
        server = await serve(transfer.own_address, PORT, configuration=configuration, create_protocol=made)
    try:
        protocol = await asyncio.wait_for(connected, _CONNECT_S)  # the warm-up covers the handshake
        return await _measured(transfer, lambda: (protocol.data_bytes, protocol.datagrams))
    finally:
        server.close()


async def _send_quic(transfer: Transfer) -> EndCost:
    async with _quic_client(transfer) as protocol:
        sending = asyncio.create_task(_keep_quic_busy(protocol))
        try:
            cost = await _measured(transfer, lambda: (0, protocol.datagrams))
            await asyncio.sleep(_LINGER_S)
        finally:
            await _ended(sending)
    return cost


@contextlib.asynccontextmanager
async def _quic_client(transfer: Transfer) -> AsyncIterator[Any]:
    # Not aioquic's connect(): it opens an IPv6 socket, and nodes have no IPv6.
    from aioquic.quic.connection import QuicConnection

    connection = QuicConnection(configuration=_quic_configuration(is_client=True))
    endpoint, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _quic_protocol()(connection), local_addr=(transfer.own_address, 0)
    )
    try:
        protocol.connect((transfer.server_address, PORT))
        await asyncio.wait_for(protocol.wait_connected(), _CONNECT_S)
        yield protocol
        protocol.close()  # not wait_closed(): that takes the longer, the fuller the link's queue is
    finally:
        endpoint.close()


async def _keep_quic_busy(protocol: Any) -> None:
    """Sends without end. aioquic's streams accept any amount of data and do not tell how much is unsent, so
    this has to read their private fields."""
    stream = protocol._quic.get_next_available_stream_id(is_unidirectional=True)
    protocol._quic.send_stream_data(stream, _PIECE)
    sender = protocol._quic._streams[stream].sender
    while True:
        while sender._buffer_stop - sender.highest_offset < _AHEAD_BYTES:
            protocol._quic.send_stream_data(stream, _PIECE)
        protocol.transmit()
        await asyncio.sleep(0.005)


def _quic_protocol() -> Any:
    """A class: aioquic's protocol, which also counts. It is made in a function because aioquic may be
    missing."""
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.quic.events import StreamDataReceived

    class Counting(QuicConnectionProtocol):
        data_bytes = 0
        datagrams = 0

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            _enlarge_buffers(transport.get_extra_info("socket"))

        def datagram_received(self, data: bytes | str, addr: Any) -> None:
            self.datagrams += 1
            super().datagram_received(data, addr)

        def quic_event_received(self, event: QuicEvent) -> None:
            if isinstance(event, StreamDataReceived):
                self.data_bytes += len(event.data)

    return Counting


def _quic_configuration(*, is_client: bool) -> QuicConfiguration:
    """aioquic's defaults, except that the certificate is not verified, since nobody has signed it."""
    from aioquic.quic.configuration import QuicConfiguration

    return QuicConfiguration(
        is_client=is_client, alpn_protocols=["bench"], server_name="server", verify_mode=ssl.CERT_NONE
    )


@contextlib.contextmanager
def _certificate() -> Iterator[tuple[Path, Path]]:
    """The paths of a self-signed certificate and of its key, valid within the context."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    own_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")])
    now = datetime.datetime.now(datetime.UTC)
    until, serial = now + datetime.timedelta(days=1), x509.random_serial_number()
    builder = x509.CertificateBuilder(name, name, own_key.public_key(), serial, now, until)
    certificate = builder.sign(own_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    with TemporaryDirectory() as directory:
        paths = Path(directory, "certificate.pem"), Path(directory, "key.pem")
        paths[0].write_bytes(certificate.public_bytes(pem))
        paths[1].write_bytes(
            own_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        yield paths


# Kernel TCP


def _tcp_socket(congestion: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
    except OSError:
        made.close()
        raise
    return made


def _receive_tcp(transfer: Transfer) -> EndCost:
    taken = _Taken()
    with _tcp_socket(transfer.protocol) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind((transfer.own_address, PORT))
        own.listen()
        own.settimeout(_CONNECT_S)
        accepted, _ = own.accept()
        with accepted:
            start = time.monotonic()
            taken.until(accepted, start + transfer.warmup_s)
            meter = _Meter(taken.counted)
            taken.until(accepted, start + transfer.warmup_s + transfer.measure_s)
            return meter.read()


class _Taken:
    """Reads a socket, and counts its data."""

    def __init__(self) -> None:
        self._buffer = bytearray(1 << 16)
        self._bytes = 0

    def counted(self) -> tuple[int, int | None]:
        return self._bytes, None

    def until(self, accepted: socket.socket, end: float) -> None:
        while time.monotonic() < end:
            self._bytes += accepted.recv_into(self._buffer)


def _send_tcp(transfer: Transfer) -> EndCost:
    with _connected(transfer) as own:
        start = time.monotonic()
        _send_until(own, start + transfer.warmup_s)
        meter = _Meter(lambda: (0, None))
        _send_until(own, start + transfer.warmup_s + transfer.measure_s)
        cost = meter.read()
        with contextlib.suppress(ConnectionError):  # the receiver has seen enough
            _send_until(own, time.monotonic() + _LINGER_S)
    return cost


def _send_until(own: socket.socket, end: float) -> None:
    while time.monotonic() < end:
        own.send(_PIECE)


def _connected(transfer: Transfer) -> socket.socket:
    """A connection to the receiver, which may not have started yet.

    Raises ``HostError`` if it has not started within ``_CONNECT_S``.
    """
    give_up = time.monotonic() + _CONNECT_S
    while True:
        own = _tcp_socket(transfer.protocol)
        try:
            own.bind((transfer.own_address, 0))
            own.connect((transfer.server_address, PORT))
        except ConnectionRefusedError:
            own.close()
            if time.monotonic() > give_up:
                raise HostError("the receiver did not start") from None
            time.sleep(0.05)
        except BaseException:
            own.close()
            raise
        else:
            return own
