"""Whole connections over a simulated bottleneck.

Flows share one bottleneck towards the server. It has a rate, a drop-tail queue in bytes and a delay, and may
have random loss and outages. The return direction has a delay, the same loss and the same outages, but no
queue.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ecco_emu.transport.auth import Session
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.connection import Connection
from ecco_emu.transport.handshake import NONCE_BYTES, ServerHandshake
from ecco_emu.transport.share_meter import ShareMeter
from ecco_emu.transport.simulation.links import PACKET_OVERHEAD_BYTES, SimulatedLink, VirtualTime


class Endpoint:
    """One side of a flow: a connection, its timer, and the function that sends its datagrams."""

    def __init__(self, time: VirtualTime, connection: Connection, out: Callable[[bytes], None]) -> None:
        self.connection = connection
        self._time = time
        self._out = out
        self._armed_s = math.inf

    def receive(self, datagram: bytes) -> None:
        self.connection.receive(datagram, self._time.now)
        self.pump()

    def pump(self) -> None:
        """Sends the datagrams that may leave, and arms the timer. To be called after using the connection."""
        now = self._time.now
        while datagrams := self.connection.datagrams_to_send(now):
            for datagram in datagrams:
                self._out(datagram)
        due_s = self.connection.next_timer()
        if due_s is not None and due_s < self._armed_s:
            self._armed_s = max(due_s, now)
            self._time.at(self._armed_s, self._on_time)

    def _on_time(self) -> None:
        # A call that an earlier one has overtaken finds the timer armed for later, and does nothing.
        if self._time.now >= self._armed_s:
            self._armed_s = math.inf
            self.connection.on_timer(self._time.now)
            self.pump()


class Flow:
    """A client and a server joined by two links. The handshake uses the links too."""

    def __init__(
        self,
        time: VirtualTime,
        config: TransportConfig,
        forward: SimulatedLink,
        backward: SimulatedLink,
        name: str = "cam",
        delay_s: float = 0.0,
    ) -> None:
        """``delay_s``: an additional one-way delay of this flow, in each direction."""
        token = b"token of " + name.encode()
        self._time = time
        self._config = config
        self._backward = backward
        self._delay_s = delay_s
        self.name = name
        self._handshake = ServerHandshake({name: token}, secret=b"server secret")
        nonce = forward.rng.bytes(NONCE_BYTES)
        client = Connection.connect(config, name=name, token=token, nonce=nonce, now=time.now)
        self.client = Endpoint(time, client, lambda datagram: self._send(forward, datagram, self._at_server))
        self.server: Endpoint | None = None
        self.client.pump()

    def _at_server(self, datagram: bytes) -> None:
        if self.server is not None:
            self.server.receive(datagram)
            return
        answer = self._handshake.receive(datagram, b"client", self._time.now)
        if isinstance(answer, Session):
            connection = Connection.accept(self._config, answer, self._time.now)
            self.server = Endpoint(self._time, connection, self._reply)
            self.server.pump()
        elif answer is not None:
            self._reply(answer)

    def _reply(self, datagram: bytes) -> None:
        self._send(self._backward, datagram, self.client.receive)

    def _send(self, link: SimulatedLink, datagram: bytes, deliver: Callable[[bytes], None]) -> None:
        link.send(len(datagram) + PACKET_OVERHEAD_BYTES, self._delay_s, deliver, datagram)


@dataclass
class SharedBottleneck:
    """Several flows through one bottleneck: a small version of the set-up of the paper's Figure 11."""

    rate_bps: float
    queue_s: float
    """The time that a full queue takes to drain."""
    delay_s: float = 0.01
    """One-way delay, in each direction."""
    loss: float = 0.0
    jitter_s: float = 0.0
    outages: Sequence[tuple[float, float]] = ()
    seed: int = 0
    time: VirtualTime = field(default_factory=VirtualTime)
    flows: list[Flow] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.forward = SimulatedLink(
            self.time,
            rng,
            rate_bps=self.rate_bps,
            queue_bytes=self.rate_bps * self.queue_s / 8,
            delay_s=self.delay_s,
            jitter_s=self.jitter_s,
            loss=self.loss,
            outages=self.outages,
        )
        self.backward = SimulatedLink(
            self.time, rng, delay_s=self.delay_s, loss=self.loss, jitter_s=self.jitter_s, outages=self.outages
        )

    def add_flow(self, config: TransportConfig, *, delay_s: float = 0.0) -> Flow:
        """``delay_s``: an additional one-way delay of this flow, in each direction."""
        flow = Flow(self.time, config, self.forward, self.backward, f"cam{len(self.flows)}", delay_s)
        self.flows.append(flow)
        return flow

    def share(self, weights: Sequence[float], *, interval_s: float = 0.5) -> ShareMeter:
        """From now on the server sends share reports by these weights, in the order of the flows. The
        returned meter takes other weights later, by the flows' names."""
        meter = ShareMeter()
        by_name = dict(zip([flow.name for flow in self.flows], weights, strict=True))
        meter.set_weights(by_name, self._received())

        def tick() -> None:
            idle = {
                flow.name: flow.server.connection.peer_idle_s
                for flow in self.flows
                if flow.server is not None
            }
            reports = meter.report(self._received(), self.time.now, idle)
            for flow in self.flows:
                if flow.server is not None and flow.name in reports:
                    flow.server.connection.report_share(reports[flow.name])
                    flow.server.pump()
            self.time.at(self.time.now + interval_s, tick)

        tick()
        return meter

    def _received(self) -> dict[str, int]:
        return {
            flow.name: flow.server.connection.stats.bytes_received if flow.server is not None else 0
            for flow in self.flows
        }

    def keep_busy(self, flow: Flow, *, every_s: float = 0.05, backlog_bytes: int = 256 * 1024) -> None:
        """From now on the flow always has data to send, on channel 1. The server reads them at once."""
        filler = bytes(32 * 1024)

        def refill() -> None:
            connection = flow.client.connection
            while connection.queued_bytes(1) < backlog_bytes + connection.in_flight_bytes:
                connection.send(1, filler, self.time.now)
            flow.client.pump()
            if flow.server is not None:
                while flow.server.connection.next_delivery() is not None:
                    pass
                flow.server.pump()
            self.time.at(self.time.now + every_s, refill)

        refill()
