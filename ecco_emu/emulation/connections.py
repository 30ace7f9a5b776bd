"""How cameras and server are connected: the transport's settings for each side, and dialling."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ecco_emu.host.clock import RunClock
from ecco_emu.policies.registry import transmission_rule
from ecco_emu.scenario import schema
from ecco_emu.transport.adapter import Peer, connect
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.telemetry import TelemetryFactory

SERVER_PORT = 4711


@asynccontextmanager
async def dialled(
    sock: socket.socket,
    server: tuple[str, int],
    name: str,
    token: bytes,
    config: TransportConfig,
    clock: RunClock,
    telemetry: TelemetryFactory | None = None,
) -> AsyncIterator[Peer]:
    """A connection that is over, and off the event loop, before its socket is closed."""
    try:
        peer = await connect(
            sock, server, name=name, token=token, config=config, clock=clock, telemetry=telemetry
        )
        try:
            yield peer
        finally:
            await peer.close()
    finally:
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock)
        loop.remove_writer(sock)


def transport_config(scenario: schema.Scenario) -> TransportConfig:
    """The cameras' side. Policies with fixed transmission keep to their alpha (paper, section 5)."""
    rule = transmission_rule(scenario.policy.name, mapping=scenario.transport.mapping)
    follow_shares = rule.weight(1.0, 1) is not None
    settings = scenario.transport
    return TransportConfig(
        algorithm=settings.algorithm,
        beta=settings.beta,
        fixed_rate_bps=settings.fixed_rate,
        follow_shares=follow_shares,
    )


def download_config(scenario: schema.Scenario) -> TransportConfig:
    """The server's side: a camera's download is alone on its link, but for other cameras' at the server."""
    alpha = scenario.transport.download_alpha
    return TransportConfig(beta=scenario.transport.beta, alpha=alpha)
