"""Experiments over a simulated link, in virtual time.

``simulate`` is what the rest of the benchmark calls; ``trace`` is the run it is made of. Flows have access
links of their own (half a round trip each way, a little jitter, random loss, an uplink rate) before they
share ``SharedBottleneck``'s queue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from ecco_emu.bench.transport import steering
from ecco_emu.bench.transport.experiment import HEADERS_BYTES, UPLINK_QUEUE_S, Cell, Change
from ecco_emu.bench.transport.measures import Result, Trace, evaluate
from ecco_emu.transport.connection import Connection
from ecco_emu.transport.simulation import Flow, Link, SharedBottleneck, VirtualTime

STEP_S = 0.05
"""Between two looks at the counters."""
JITTER_S = 0.0005
"""Each access link's: packets of real hosts do not march in step, and flows that do lock into patterns
which no real queue shows."""
START_S = 1.0
"""Flows begin at random within this."""


def simulate(cell: Cell) -> Result:
    """Runs the cell. Raises ``HostError`` for a mapping that is not available."""
    return evaluate(cell, trace(cell))


def trace(cell: Cell, change: Change | None = None, step_s: float = STEP_S) -> Trace:
    """Runs a cell, and the change in it if there is one, and counts every ``step_s`` (virtual seconds)."""
    net = _Net(cell, change)
    if change is not None:
        net.time.at(change.at_s, lambda: net.apply(change))
    samples = []
    steps = round(cell.duration_s / step_s)
    for step in range(steps + 1):
        net.time.run_until(step * step_s)
        samples.append(net.sample())
    return Trace.of([step * step_s for step in range(steps + 1)], samples, len(cell.weights))


class _Path:
    """What a flow takes for a link: its access link, and then the one that all share."""

    def __init__(self, first: Link, then: Link) -> None:
        self.rng = first.rng
        self._first, self._then = first, then

    def send(self, datagram: bytes, deliver: Callable[[bytes], None]) -> None:
        self._first.send(datagram, lambda arrived: self._then.send(arrived, deliver))


class _Net:
    """The links of a cell and the flows on them."""

    def __init__(self, cell: Cell, change: Change | None) -> None:
        self._cell = cell
        outages = []
        if change is not None and change.outage_s is not None:
            outages = [(change.at_s, change.at_s + change.outage_s)]
        self._shared = SharedBottleneck(
            rate_bps=cell.rate_bps, queue_s=cell.queue_s, delay_s=0.0, outages=outages, seed=cell.seed
        )
        self._flows: list[Flow | None] = [None] * len(cell.weights)
        rng = np.random.default_rng([cell.seed, len(cell.weights)])
        for index in range(len(cell.weights)):
            self.time.at(float(rng.uniform(0, START_S)), lambda index=index: self._begin(index))  # type: ignore[misc]

    @property
    def time(self) -> VirtualTime:
        return self._shared.time

    def apply(self, change: Change) -> None:
        if change.weights is not None:
            steering.reweigh(self._senders(), self._cell, change.weights)
        if change.rate_bps is not None:
            self._shared.forward.rate_bps = change.rate_bps
            self._shared.forward.queue_bytes = change.rate_bps * self._cell.queue_s / 8

    def sample(self) -> list[float]:
        """Counters in the order of ``Trace``'s fields, the flows' own first."""
        stats = [connection.stats for connection in self._senders()]
        link = self._shared.forward
        received = [
            flow.server.connection.stats.bytes_received if flow is not None and flow.server is not None else 0
            for flow in self._flows
        ]
        return [
            *received,
            link.delivered_bytes,
            sum(one.packets_acked for one in stats),
            sum(one.packets_lost for one in stats),
            sum(one.cuts for one in stats),
            max(0.0, link._busy_until_s - self.time.now),
        ]

    def _senders(self) -> list[Connection]:
        return [flow.client.connection for flow in self._flows if flow is not None]

    def _begin(self, index: int) -> None:
        """The flow's handshake begins, and its source."""
        forward = _Path(self._access(index, up=True), self._shared.forward)
        backward = _Path(self._access(index, up=False), self._shared.backward)
        flow = Flow(
            self.time,
            steering.client_config(self._cell, index),
            cast(Link, forward),
            cast(Link, backward),
            f"cam{index}",
        )
        self._flows[index] = flow
        self._shared.keep_busy(flow, backlog_bytes=_backlog_bytes(self._cell))

    def _access(self, index: int, *, up: bool) -> Link:
        cell = self._cell
        link = Link(
            self.time,
            self._shared.forward.rng,
            delay_s=cell.rtts_s[index] / 2,
            jitter_s=JITTER_S,
            loss=cell.loss,
        )
        uplink_bps = cell.uplinks[index]
        if up and uplink_bps is not None:
            link.rate_bps = uplink_bps
            link.queue_bytes = uplink_bps * UPLINK_QUEUE_S / 8
        return link


def _backlog_bytes(cell: Cell) -> int:
    """More than one flow can send before its source looks again."""
    return round(max(256 * 1024, cell.rate_bps / 8 * 0.1 + HEADERS_BYTES))
