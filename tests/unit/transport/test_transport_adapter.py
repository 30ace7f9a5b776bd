"""Real sockets over loopback, on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from ecco_emu.transport import (
    ConnectionClosed,
    Listener,
    MessageReceived,
    Peer,
    TransportConfig,
    VideoOutcome,
    VideoReceived,
    connect,
)
from ecco_emu.transport.handshake import ClientHandshake

TOKENS = {"cam1": b"secret of camera one", "cam2": b"secret of camera two"}


class WallClock:
    """Emulated time that runs ``dilation`` times slower than the wall."""

    def __init__(self, dilation: float = 1.0) -> None:
        self.dilation = dilation

    def now(self) -> float:
        return time.monotonic() / self.dilation

    def wall_duration(self, emulated_s: float) -> float:
        return emulated_s * self.dilation


def make_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock


@asynccontextmanager
async def serving(
    config: TransportConfig | None = None, clock: WallClock | None = None
) -> AsyncIterator[tuple[Listener, tuple[str, int]]]:
    sock = make_socket()
    listener = Listener(sock, TOKENS, config or TransportConfig(), clock or WallClock())
    try:
        yield listener, sock.getsockname()
    finally:
        await listener.close()
        sock.close()


@asynccontextmanager
async def connected(
    address: tuple[str, int],
    name: str = "cam1",
    *,
    token: bytes | None = None,
    config: TransportConfig | None = None,
    clock: WallClock | None = None,
) -> AsyncIterator[Peer]:
    sock = make_socket()
    peer = None
    try:
        peer = await connect(
            sock,
            address,
            name=name,
            token=token or TOKENS[name],
            config=config or TransportConfig(),
            clock=clock or WallClock(),
        )
        yield peer
    finally:
        if peer is not None:
            await peer.close()
        sock.close()


def on_both_loops(test: Callable[[], Awaitable[None]]) -> Callable[[str], None]:
    """Runs a coroutine test once per event loop."""

    @pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
    def run(loop: str) -> None:
        factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(test(), 60))

    run.__doc__ = test.__doc__
    return run


@on_both_loops
async def test_messages_and_video_both_ways() -> None:
    async with serving() as (listener, address), connected(address) as camera:
        server = await listener.accept()
        assert server.name == camera.name == "cam1"
        decided: asyncio.Future[VideoOutcome] = asyncio.get_running_loop().create_future()
        video_id = camera.send_video(b"v" * 30_000, WallClock().now() + 5, decided.set_result)
        camera.send(0, b"hello")
        received = [await server.receive(), await server.receive()]
        assert MessageReceived(0, b"hello") in received
        assert VideoReceived(video_id, b"v" * 30_000) in received
        weights = bytes(range(256)) * 20_000
        server.send(1, weights)
        assert await camera.receive() == MessageReceived(1, weights)
        await server.drain(1)
        assert await decided == VideoOutcome(video_id, "delivered")


@on_both_loops
async def test_a_wrong_token_gets_no_connection() -> None:
    config = TransportConfig(handshake_timeout_s=0.4, handshake_retry_s=0.1)
    async with serving() as (listener, address):
        with pytest.raises(ConnectionClosed, match="handshake timed out"):
            async with connected(address, token=b"not the secret", config=config):
                pass
        assert listener.rejected >= 2
        assert not listener.peers


@on_both_loops
async def test_a_reconnecting_camera_replaces_its_old_connection() -> None:
    async with serving() as (listener, address), connected(address) as first:
        old = await listener.accept()
        async with connected(address) as second:
            new = await listener.accept()
            with pytest.raises(ConnectionClosed, match="replaced"):
                await old.receive()
            with pytest.raises(ConnectionClosed, match="replaced"):
                await first.receive()
            second.send(0, b"here again")
            assert await new.receive() == MessageReceived(0, b"here again")
            assert listener.peers == [new]


@on_both_loops
async def test_the_peer_learns_of_a_close_after_reading_what_arrived() -> None:
    async with serving() as (listener, address), connected(address) as camera:
        server = await listener.accept()
        camera.send(0, b"last words")
        await camera.drain(0)
        await camera.close("done")
        assert await server.receive() == MessageReceived(0, b"last words")
        with pytest.raises(ConnectionClosed, match="done"):
            await server.receive()
        with pytest.raises(ConnectionClosed):
            server.send(0, b"too late")


@on_both_loops
async def test_dilated_time_keeps_emulated_figures() -> None:
    clock = WallClock(dilation=0.2)
    async with serving(clock=clock) as (listener, address), connected(address, clock=clock) as camera:
        server = await listener.accept()
        began = clock.now()
        server.send(1, b"w" * 300_000)
        await camera.receive()
        assert clock.now() - began < 60
        assert server.stats.packets_sent > 250


async def test_nobody_listening_is_a_timeout_not_an_error() -> None:
    sock = make_socket()
    address = sock.getsockname()
    sock.close()
    config = TransportConfig(handshake_timeout_s=0.3, handshake_retry_s=0.1)
    with pytest.raises(ConnectionClosed, match="timed out"):
        async with connected(address, config=config):
            pass


async def test_garbage_is_counted_and_dropped() -> None:
    async with serving() as (listener, address), connected(address) as camera:
        server = await listener.accept()
        noise = make_socket()
        for size in (0, 1, 14, 26, 160, 1200):
            noise.sendto(bytes([1, 4]) + b"\xff" * size, address)
            noise.sendto(bytes([1, 1]) + b"\xff" * size, address)
        noise.close()
        camera.send(0, b"still here")
        assert await server.receive() == MessageReceived(0, b"still here")
        assert listener.rejected + listener.unknown >= 10


async def test_a_flood_from_strangers_leaves_no_state_and_gets_no_answer() -> None:
    """Data for connections that do not exist, handshakes without the token, from 40 addresses."""
    async with serving() as (listener, address), connected(address) as camera:
        server = await listener.accept()
        stranger = ClientHandshake(
            TransportConfig(), name="cam1", token=b"not the secret", nonce=bytes(16), now=0.0
        ).datagram(0.0)
        assert stranger is not None
        sockets = [make_socket() for _ in range(40)]
        for index, sock in enumerate(sockets):
            for turn in range(20):
                sock.sendto(bytes([1, 4, index, turn]) + bytes(1100), address)
                sock.sendto(stranger, address)
            await asyncio.sleep(0)
        camera.send(0, b"still here")
        assert await server.receive() == MessageReceived(0, b"still here")
        assert listener.rejected + listener.unknown > 0
        assert listener.peers == [server]
        assert len(listener._by_id) == 1
        for sock in sockets:
            with pytest.raises(BlockingIOError):
                sock.recv(2000)
            sock.close()


async def test_a_new_address_moves_the_path() -> None:
    async with serving() as (listener, address), connected(address) as camera:
        server = await listener.accept()
        other = make_socket()
        port = camera._driver.port
        loop = asyncio.get_running_loop()
        loop.remove_reader(port._sock)
        port._sock.close()
        port._sock = other
        loop.add_reader(other, port._read)
        camera.send(0, b"moved")
        assert await server.receive() == MessageReceived(0, b"moved")
        server.send(0, b"I see")
        assert await camera.receive() == MessageReceived(0, b"I see")
        assert server.stats.migrations == 1
        await camera.close()
        other.close()


class FailingSocket(socket.socket):
    """Refuses to send with the errors given, in order, then works."""

    errors: list[int]

    def sendto(self, *args: Any) -> int:  # type: ignore[override]
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))
        return super().sendto(*args)


async def test_a_link_that_is_down_is_loss_and_a_full_socket_is_waited_for() -> None:
    async with serving() as (listener, address):
        sock = FailingSocket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.errors = [errno.ENETUNREACH, errno.ENETDOWN, errno.EAGAIN]
        config = TransportConfig(handshake_retry_s=0.02)
        peer = await connect(
            sock, address, name="cam1", token=TOKENS["cam1"], config=config, clock=WallClock()
        )
        server = await listener.accept()
        sock.errors = [errno.EPERM, errno.ENOBUFS, errno.EAGAIN, errno.EHOSTUNREACH]
        for index in range(20):
            peer.send(0, bytes([index]) * 2000)
        for index in range(20):
            assert await server.receive() == MessageReceived(0, bytes([index]) * 2000)
        assert not sock.errors
        await peer.close()
        sock.close()


class NarrowSocket(socket.socket):
    """On a link that carries datagrams of at most 700 bytes."""

    def sendto(self, datagram: bytes, address: Any) -> int:  # type: ignore[override]
        if len(datagram) > 700:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        return super().sendto(datagram, address)


async def test_a_link_that_refuses_large_datagrams_gets_smaller_ones() -> None:
    async with serving() as (listener, address):
        sock = NarrowSocket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        peer = await connect(
            sock, address, name="cam1", token=TOKENS["cam1"], config=TransportConfig(), clock=WallClock()
        )
        server = await listener.accept()
        peer.send(1, bytes(200_000))
        assert await server.receive() == MessageReceived(1, bytes(200_000))
        assert peer.stats.mtu_reductions == 1
        await peer.close()
        sock.close()


async def test_closing_the_listener_ends_everybody_who_waits() -> None:
    async with serving() as (listener, address), connected(address) as camera:
        await listener.accept()
        waiting = asyncio.ensure_future(listener.accept())
        await asyncio.sleep(0)
        await listener.close()
        with pytest.raises(ConnectionClosed, match="listener"):
            await waiting
        with pytest.raises(ConnectionClosed, match="going away"):
            await camera.receive()
