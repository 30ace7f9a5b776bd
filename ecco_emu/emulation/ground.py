"""What a run stands on: the wall's clock, sockets and the system's random bytes, or virtual time, simulated
links and seeded ones. The code above it is the same.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import netns
from ecco_emu.core.random_streams import stream
from ecco_emu.emulation.lab_errors import lab_errors
from ecco_emu.host.clock import RunClock
from ecco_emu.scenario import schema
from ecco_emu.transport.adapter import Entropy

NodeSocket = socket.socket | netns.DatagramPort
"""Where a node's datagrams leave and arrive."""


@dataclass(frozen=True, slots=True)
class Ground:
    simulated: bool
    wall: Callable[[], float]
    """The clock that the run's own is read off, in seconds."""
    entropy: Entropy
    """Where the transport's nonces, secrets and skipped packet numbers come from."""

    @classmethod
    def of(cls, scenario: schema.Scenario) -> Ground:
        """The ground of a run that is on the running event loop."""
        if not scenario.simulated:
            return cls(False, time.monotonic, os.urandom)
        return cls(True, asyncio.get_running_loop().time, stream(scenario.seed, "entropy").bytes)

    def clock(self, dilation: float) -> RunClock:
        """The run's clock."""
        return RunClock(dilation, self.wall)

    @asynccontextmanager
    async def endpoint(self, lab: netns.Lab, node: str, port: int = 0) -> AsyncIterator[NodeSocket]:
        """A node's endpoint for the time of the block. Raises ``HostError`` where it gets none."""
        with lab_errors(f"{node} gets no socket"):
            made = await (lab.datagram_port(node, port) if self.simulated else lab.udp_socket(node, port))
        try:
            yield made
        finally:
            made.close()
