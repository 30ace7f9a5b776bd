"""How a camera is connected with the server: dialling, and hanging up in the right order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ecco_emu.emulation.ground import NodeSocket
from ecco_emu.host.clock import RunClock
from ecco_emu.transport.adapter import Entropy, Peer, connect
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.telemetry import TelemetryFactory

SERVER_PORT = 4711


@asynccontextmanager
async def dialled(
    endpoint: NodeSocket,
    server: tuple[str, int],
    name: str,
    token: bytes,
    config: TransportConfig,
    clock: RunClock,
    entropy: Entropy,
    telemetry: TelemetryFactory | None = None,
) -> AsyncIterator[Peer]:
    """A connection to the server. It is closed, and off the event loop, before its caller closes the
    endpoint.

    Raises ``ConnectionClosed`` when the server does not answer.
    """
    try:
        peer = await connect(
            endpoint,
            server,
            name=name,
            token=token,
            config=config,
            clock=clock,
            telemetry=telemetry,
            entropy=entropy,
        )
        try:
            yield peer
        finally:
            await peer.close()
    finally:
        # also after a dial that failed: a loop that still watches a closed descriptor would watch its
        # successor
        if isinstance(endpoint, socket.socket):
            loop = asyncio.get_running_loop()
            loop.remove_reader(endpoint)
            loop.remove_writer(endpoint)
