"""Sends numbered datagrams between two nodes and collects those that arrive."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import struct
import time

from netns import Lab, LabSpec, LinkSpec, Shape

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


async def pair(lab: Lab) -> tuple[socket.socket, socket.socket]:
    """A socket on the camera and one on the server, which both note the time of each packet that they
    receive."""
    sockets = (
        await lab.udp_socket("cam", buffer_bytes=_BUFFER_BYTES),
        await lab.udp_socket("server", buffer_bytes=_BUFFER_BYTES),
    )
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return sockets


def drain(receiver: socket.socket) -> list[tuple[float, bytes]]:
    """All packets that have arrived, each with the kernel's time of arrival in seconds."""
    found = []
    while True:
        try:
            data, ancillary, _, _ = receiver.recvmsg(65536, 256)
        except BlockingIOError:
            return found
        seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
        found.append((seconds + nanoseconds * 1e-9, data))


async def arrived(receiver: socket.socket, count: int, timeout_s: float = 5.0) -> list[tuple[float, bytes]]:
    """Waits for ``count`` packets; returns fewer if they do not come."""
    found = drain(receiver)
    deadline = time.monotonic() + timeout_s
    while len(found) < count and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
        found += drain(receiver)
    return found


async def send(
    sender: socket.socket, receiver: socket.socket, count: int, *, gap_s: float = 0.0, size: int = 4
) -> list[float]:
    """Sends packets that carry their numbers, and returns the times of sending. Without a gap they go in
    bursts of 50, which fit into any buffer."""
    times = []
    for number in range(count):
        times.append(time.time())
        sender.sendto(struct.pack("=I", number) + bytes(size - 4), receiver.getsockname())
        if gap_s or number % 50 == 49:
            await asyncio.sleep(gap_s or 0.003)
    return times


async def settled(receiver: socket.socket, quiet_s: float = 0.25) -> list[tuple[float, bytes]]:
    """All packets that arrive until none has arrived for ``quiet_s``."""
    found = drain(receiver)
    last = time.monotonic()
    while time.monotonic() - last < quiet_s:
        await asyncio.sleep(0.01)
        more = drain(receiver)
        if more:
            found += more
            last = time.monotonic()
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


async def flooded_rate_bps(sender: socket.socket, receiver: socket.socket, offered_bps: float, for_s: float):
    """The rate of Ethernet frames at the receiver while the sender offers more. The first 0.3 s, which hold
    the burst, do not count."""
    payload = bytes(1200)
    gap_s = (len(payload) + HEADERS_BYTES) * 8 / offered_bps
    found = []
    start = time.monotonic()
    sent = 0
    while (elapsed := time.monotonic() - start) < for_s:
        while sent * gap_s < elapsed:
            sender.sendto(payload, receiver.getsockname())
            sent += 1
        found += drain(receiver)
        await asyncio.sleep(0.002)
    times = [at for at, _ in found if at - found[0][0] > 0.3]
    return (len(times) - 1) * (len(payload) + HEADERS_BYTES) * 8 / (times[-1] - times[0])


async def round_trips_s(sender: socket.socket, receiver: socket.socket, count: int = 30) -> list[float]:
    """The times of packets to the receiver and back, in seconds."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        sender.sendto(b"ping", receiver.getsockname())
        assert len(await ready(receiver)) == 1
        receiver.sendto(b"pong", sender.getsockname())
        assert len(await ready(sender)) == 1
        times.append(time.perf_counter() - start)
    return times


async def ready(receiver: socket.socket, timeout_s: float = 5.0) -> list[bytes]:
    """Waits for the next packet, without polling."""
    loop = asyncio.get_running_loop()
    return [await asyncio.wait_for(loop.sock_recv(receiver, 65536), timeout_s)]
