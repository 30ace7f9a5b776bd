"""Sends numbered datagrams between two nodes of a lab and collects those that arrive, on every engine."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import struct
import time
from typing import Protocol

from netns import DatagramPort, Lab, LabSpec, LinkSpec, Shape

SO_NO_CHECK, SO_TIMESTAMPNS = 11, 35
HEADERS_BYTES = 14 + 20 + 8
UNSHAPED = Shape()
_BUFFER_BYTES = 1 << 23
"""Room for 8000 small packets, each of which the kernel counts as some 800 bytes."""

TIMING = not os.environ.get("ECCO_EMU_NO_TIMING")
"""False on a machine that is emulated in software, where times of arrival mean nothing."""


def two(egress: Shape = UNSHAPED, ingress: Shape = UNSHAPED, live: bool = False, **options) -> LabSpec:
    """A camera, whose link has these shapes, and a server, whose link has none."""
    link = LinkSpec("cam", egress=egress, ingress=ingress, live_impairments=live)
    return LabSpec(links=(link, LinkSpec("server")), **options)


class Endpoint(Protocol):
    """A place of a node from which datagrams are sent, and to which they come."""

    def now(self) -> float:
        """The time on the clock that notes the times of arrival, in seconds."""

    def send(self, data: bytes, to: Endpoint) -> None: ...

    def drain(self) -> list[tuple[float, bytes]]:
        """The datagrams that have arrived, each with its time of arrival."""

    async def ready(self) -> bytes:
        """The next datagram, without polling."""

    def __enter__(self) -> Endpoint: ...

    def __exit__(self, *error: object) -> None: ...


class SocketEndpoint:
    """A socket. The kernel notes the time of each packet."""

    def __init__(self, sock: socket.socket, checksums: bool) -> None:
        self.sock = sock
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        if not checksums:
            sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)

    def now(self) -> float:
        return time.time()

    def send(self, data: bytes, to: SocketEndpoint) -> None:
        self.sock.sendto(data, to.sock.getsockname())

    def drain(self) -> list[tuple[float, bytes]]:
        found = []
        while True:
            try:
                data, ancillary, _, _ = self.sock.recvmsg(65536, 256)
            except BlockingIOError:
                return found
            seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
            found.append((seconds + nanoseconds * 1e-9, data))

    async def ready(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.sock, 65536)

    def __enter__(self) -> SocketEndpoint:
        return self

    def __exit__(self, *error: object) -> None:
        self.sock.close()


class PortEndpoint:
    """A port of a simulated node."""

    def __init__(self, lab: Lab, port: DatagramPort) -> None:
        self.now = lab.now
        self.port = port
        self._arrived: list[tuple[float, bytes]] = []
        self._changed = asyncio.Event()
        port.on_datagram = self._on_datagram

    def _on_datagram(self, data: bytes, source: tuple[str, int]) -> None:
        self._arrived.append((self.now(), data))
        self._changed.set()

    def send(self, data: bytes, to: PortEndpoint) -> None:
        self.port.send(data, to.port.address)

    def drain(self) -> list[tuple[float, bytes]]:
        found, self._arrived = self._arrived, []
        return found

    async def ready(self) -> bytes:
        while not self._arrived:
            self._changed.clear()
            await self._changed.wait()
        return self._arrived.pop(0)[1]

    def __enter__(self) -> PortEndpoint:
        return self

    def __exit__(self, *error: object) -> None:
        self.port.close()


async def endpoint(lab: Lab, node: str, checksums: bool = True) -> Endpoint:
    """An endpoint at a node, whatever the engine."""
    if lab.engine == "simulated":
        return PortEndpoint(lab, await lab.datagram_port(node, checksums=checksums))
    return SocketEndpoint(await lab.udp_socket(node, buffer_bytes=_BUFFER_BYTES), checksums)


async def pair(lab: Lab, checksums: bool = True) -> tuple[Endpoint, Endpoint]:
    """An endpoint at the camera and one at the server."""
    return await endpoint(lab, "cam", checksums), await endpoint(lab, "server", checksums)


def drain(receiver: Endpoint) -> list[tuple[float, bytes]]:
    """All packets that have arrived, each with its time of arrival in seconds."""
    return receiver.drain()


def clock() -> float:
    """The event loop's time, which is virtual where the links are."""
    return asyncio.get_running_loop().time()


async def arrived(receiver: Endpoint, count: int, timeout_s: float = 5.0) -> list[tuple[float, bytes]]:
    """Waits for ``count`` packets; returns fewer if they do not come."""
    found = drain(receiver)
    deadline = clock() + timeout_s
    while len(found) < count and clock() < deadline:
        await asyncio.sleep(0.01)
        found += drain(receiver)
    return found


async def send(
    sender: Endpoint, receiver: Endpoint, count: int, *, gap_s: float = 0.0, size: int = 4
) -> list[float]:
    """Sends packets that carry their numbers, and returns the times of sending. Without a gap they go in
    bursts of 50, which fit into any buffer."""
    times = []
    for number in range(count):
        times.append(sender.now())
        sender.send(struct.pack("=I", number) + bytes(size - 4), receiver)
        if gap_s or number % 50 == 49:
            await asyncio.sleep(gap_s or 0.003)
    return times


async def settled(receiver: Endpoint, quiet_s: float = 0.25) -> list[tuple[float, bytes]]:
    """All packets that arrive until none has arrived for ``quiet_s``."""
    found = drain(receiver)
    last = clock()
    while clock() - last < quiet_s:
        await asyncio.sleep(0.01)
        more = drain(receiver)
        if more:
            found += more
            last = clock()
    return found


def numbers(found: list[tuple[float, bytes]]) -> list[int]:
    """The numbers that ``send`` gave the packets, in the order of arrival."""
    return [struct.unpack_from("=I", data)[0] for _, data in found]


def delays(found: list[tuple[float, bytes]], sent: list[float]) -> list[float]:
    """The time that each packet was under way, in seconds."""
    return [at - sent[struct.unpack_from("=I", data)[0]] for at, data in found]


def plausible(count: int, of: int, probability: float) -> bool:
    """False if a binomial count of ``of`` trials is this far from its mean with a probability below 1 in
    100,000."""
    return abs(count - of * probability) <= 4.5 * math.sqrt(of * probability * (1 - probability)) + 1


async def flooded_rate_bps(sender: Endpoint, receiver: Endpoint, offered_bps: float, for_s: float):
    """The rate of Ethernet frames at the receiver while the sender offers more. The first 0.3 s, which hold
    the burst, do not count."""
    payload = bytes(1200)
    gap_s = (len(payload) + HEADERS_BYTES) * 8 / offered_bps
    found = []
    start = clock()
    sent = 0
    while (elapsed := clock() - start) < for_s:
        while sent * gap_s < elapsed:
            sender.send(payload, receiver)
            sent += 1
        found += drain(receiver)
        await asyncio.sleep(0.002)
    times = [at for at, _ in found if at - found[0][0] > 0.3]
    return (len(times) - 1) * (len(payload) + HEADERS_BYTES) * 8 / (times[-1] - times[0])


async def round_trips_s(sender: Endpoint, receiver: Endpoint, count: int = 30) -> list[float]:
    """The times of packets to the receiver and back, in seconds."""
    times = []
    for _ in range(count):
        start = clock()
        sender.send(b"ping", receiver)
        assert await ready(receiver) == b"ping"
        receiver.send(b"pong", sender)
        assert await ready(sender) == b"pong"
        times.append(clock() - start)
    return times


async def ready(receiver: Endpoint, timeout_s: float = 5.0) -> bytes:
    """Waits for the next packet, without polling."""
    return await asyncio.wait_for(receiver.ready(), timeout_s)
