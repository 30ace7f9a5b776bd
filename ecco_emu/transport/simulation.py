"""Connections over a simulated link, in virtual time: no sockets, no clock, the same every run.

Flows share one bottleneck towards the server: a rate, a drop-tail queue in bytes, then a delay; random
loss and outages on top. The way back has a delay, the same loss and the same outages, and no queue.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ecco_emu.transport.auth import Session
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.connection import Connection
from ecco_emu.transport.handshake import NONCE_BYTES, ServerHandshake

PACKET_OVERHEAD_BYTES = 42
"""Ethernet, IPv4 and UDP headers, which a link's rate has to carry."""


class VirtualTime:
    """A clock that jumps from one scheduled call to the next."""

    def __init__(self) -> None:
        self.now = 0.0
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, time_s: float, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._calls, (max(time_s, self.now), self._count, call))

    def run_until(self, end_s: float, condition: Callable[[], bool] | None = None) -> None:
        """Runs what is scheduled up to ``end_s``, or until ``condition`` holds after some call."""
        while self._calls and self._calls[0][0] <= end_s:
            self.now, _, call = heapq.heappop(self._calls)
            call()
            if condition is not None and condition():
                return
        self.now = end_s


@dataclass(slots=True)
class Link:
    """One direction. ``rate_bps`` may be changed while it runs; packets already queued keep theirs."""

    time: VirtualTime
    rng: np.random.Generator
    rate_bps: float = math.inf
    queue_bytes: float = math.inf
    delay_s: float = 0.0
    jitter_s: float = 0.0
    """Extra delay, uniform; packets keep their order."""
    loss: float = 0.0
    outages: Sequence[tuple[float, float]] = ()
    """Intervals in which packets offered to the link, or leaving it, vanish."""
    delivered_bytes: int = 0
    dropped: int = 0
    """Packets that found the queue full."""
    _busy_until_s: float = 0.0
    _last_arrival_s: float = 0.0

    def send(self, datagram: bytes, deliver: Callable[[bytes], None]) -> None:
        now = self.time.now
        size = len(datagram) + PACKET_OVERHEAD_BYTES
        if self._down(now) or (self.loss and self.rng.random() < self.loss):
            return
        start = max(now, self._busy_until_s)
        if (start - now) * self.rate_bps / 8 + size > self.queue_bytes:
            self.dropped += 1
            return
        self._busy_until_s = start + size * 8 / self.rate_bps
        arrival = self._busy_until_s + self.delay_s
        if self.jitter_s:
            arrival += self.jitter_s * self.rng.random()
        self._last_arrival_s = arrival = max(arrival, self._last_arrival_s)
        self.time.at(arrival, lambda: self._arrive(datagram, size, deliver))

    def _arrive(self, datagram: bytes, size: int, deliver: Callable[[bytes], None]) -> None:
        if not self._down(self.time.now):
            self.delivered_bytes += size
            deliver(datagram)

    def _down(self, at: float) -> bool:
        return any(start <= at < end for start, end in self.outages)


class Endpoint:
    """One side of a flow: a connection, its timer and its way out."""

    def __init__(self, time: VirtualTime, connection: Connection, out: Callable[[bytes], None]) -> None:
        self.connection = connection
        self._time = time
        self._out = out
        self._armed_s = math.inf

    def receive(self, datagram: bytes) -> None:
        self.connection.receive(datagram, self._time.now)
        self.pump()

    def pump(self) -> None:
        """Sends what may be sent and arms the timer. Call it after using the connection."""
        now = self._time.now
        while datagrams := self.connection.datagrams_to_send(now):
            for datagram in datagrams:
                self._out(datagram)
        due_s = self.connection.next_timer()
        if due_s is not None and due_s < self._armed_s:
            self._armed_s = max(due_s, now)
            self._time.at(self._armed_s, self._on_time)

    def _on_time(self) -> None:
        if self._time.now >= self._armed_s:
            self._armed_s = math.inf
            self.connection.on_timer(self._time.now)
            self.pump()


class Flow:
    """A client and a server joined by two links. The handshake takes place on the links too."""

    def __init__(
        self, time: VirtualTime, config: TransportConfig, forward: Link, backward: Link, name: str = "cam"
    ) -> None:
        token = b"token of " + name.encode()
        self._time = time
        self._config = config
        self._forward = forward
        self._backward = backward
        self._handshake = ServerHandshake({name: token}, secret=b"server secret")
        nonce = forward.rng.bytes(NONCE_BYTES)
        client = Connection.connect(config, name=name, token=token, nonce=nonce, now=time.now)
        self.client = Endpoint(time, client, lambda datagram: forward.send(datagram, self._at_server))
        self.server: Endpoint | None = None
        self.client.pump()

    def _at_server(self, datagram: bytes) -> None:
        if self.server is not None:
            self.server.receive(datagram)
            return
        answer = self._handshake.receive(datagram, b"client", self._time.now)
        if isinstance(answer, Session):
            connection = Connection.accept(self._config, answer, self._time.now)
            self.server = Endpoint(
                self._time, connection, lambda reply: self._backward.send(reply, self.client.receive)
            )
            self.server.pump()
        elif answer is not None:
            self._backward.send(answer, self.client.receive)


@dataclass
class SharedBottleneck:
    """Several flows through one bottleneck: the set-up of the paper's Figure 11 in small."""

    rate_bps: float
    queue_s: float
    """Time a full queue takes to drain."""
    delay_s: float = 0.01
    """One way, each way."""
    loss: float = 0.0
    jitter_s: float = 0.0
    outages: Sequence[tuple[float, float]] = ()
    seed: int = 0
    time: VirtualTime = field(default_factory=VirtualTime)
    flows: list[Flow] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.forward = Link(
            self.time,
            rng,
            rate_bps=self.rate_bps,
            queue_bytes=self.rate_bps * self.queue_s / 8,
            delay_s=self.delay_s,
            jitter_s=self.jitter_s,
            loss=self.loss,
            outages=self.outages,
        )
        self.backward = Link(
            self.time, rng, delay_s=self.delay_s, loss=self.loss, jitter_s=self.jitter_s, outages=self.outages
        )

    def add_flow(self, config: TransportConfig) -> Flow:
        flow = Flow(self.time, config, self.forward, self.backward, f"cam{len(self.flows)}")
        self.flows.append(flow)
        return flow

    def keep_busy(self, flow: Flow, *, every_s: float = 0.05, backlog_bytes: int = 256 * 1024) -> None:
        """From now on the flow always has something to send, on channel 1; the server reads it at once."""
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
