"""Experiments over a simulated link, in virtual time.

``trace`` runs a cell and returns its counters; ``simulate`` computes the figures from them. Each flow has an
access link of its own (half a round trip each way, a little jitter, random loss, an uplink rate) in front of
the queue that all flows share.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ecco_emu.bench.transport import steering
from ecco_emu.bench.transport.experiment import UPLINK_QUEUE_S, Cell, Change
from ecco_emu.bench.transport.measures import CellTrace, Result, evaluate
from ecco_emu.transport.simulation.bulk import BulkFlow, ShareReporter
from ecco_emu.transport.simulation.links import SimulatedLink, VirtualTime

STEP_S = 0.05
"""Between two samples of the counters."""
JITTER_S = 0.0005
"""Of each access link. Without it all flows would send in step, and lock into patterns that no real queue
shows: real hosts' packets are never that regular."""
START_S = 1.0
"""Flows begin at random times within the first second."""


def simulate(cell: Cell) -> Result:
    """The figures of a cell."""
    return evaluate(cell, trace(cell))


def trace(cell: Cell, change: Change | None = None, step_s: float = STEP_S) -> CellTrace:
    """The counters of a cell, sampled every ``step_s`` of virtual time; ``change`` is applied when it is
    due."""
    net = SimulatedCell(cell, change)
    if change is not None:
        net.time.at(change.at_s, net.apply, change)
    samples = []
    steps = round(cell.duration_s / step_s)
    for step in range(steps + 1):
        net.time.run_until(step * step_s)
        samples.append(net.sample())
    return CellTrace.of([step * step_s for step in range(steps + 1)], samples, len(cell.weights))


class SimulatedCell:
    """The links of a cell, and the flows on them. An outage that is to be applied must be given as ``change``
    here too: links know of outages from the beginning."""

    def __init__(self, cell: Cell, change: Change | None = None) -> None:
        self._cell = cell
        self.time = VirtualTime()
        self._rng = np.random.default_rng([cell.seed, len(cell.weights)])
        outages = []
        if change is not None and change.outage_s is not None:
            outages = [(change.at_s, change.at_s + change.outage_s)]
        self._bottleneck = SimulatedLink(
            self.time, self._rng, rate_bps=cell.rate_bps, queue_bytes=cell.queue_bytes, outages=outages
        )
        self._outages = outages
        self._flows = {f"cam{index}": self._flow(index) for index in range(len(cell.weights))}
        self._reporter: ShareReporter | None = None
        if (weights := self._reported(cell.weights)) is not None:
            self._reporter = ShareReporter(self.time, self._flows, weights)

    def apply(self, change: Change) -> None:
        if change.weights is not None:
            steering.reweigh([_Sender(flow) for flow in self._flows.values()], self._cell, change.weights)
            if self._reporter is not None and (weights := self._reported(change.weights)) is not None:
                self._reporter.set_weights(weights)
        if change.rate_bps is not None:
            self._bottleneck.rate_bps = change.rate_bps
            self._bottleneck.queue_bytes = change.rate_bps * self._cell.queue_s / 8

    @property
    def held_back(self) -> list[str]:
        """The flows that the receiver knows to be held back by something of their own."""
        return self._reporter.meter.held_back if self._reporter is not None else []

    def sample(self) -> list[float]:
        """The counters in the order that ``CellTrace.of`` wants."""
        stats = [flow.stats for flow in self._flows.values()]
        return [
            *(flow.received_bytes for flow in self._flows.values()),
            self._bottleneck.delivered_bytes,
            sum(one.packets_acked for one in stats),
            sum(one.packets_lost for one in stats),
            sum(one.cuts for one in stats),
            self._bottleneck.backlog_bytes * 8 / self._bottleneck.rate_bps,
        ]

    def _reported(self, weights: tuple[float, ...]) -> dict[str, float] | None:
        """The flows' weights by name, for a receiver that reports shares; None where it does not."""
        reported = steering.reported_weights(self._cell, weights)
        return None if reported is None else dict(zip(self._flows, reported, strict=True))

    def _flow(self, index: int) -> BulkFlow:
        cell, uplink_bps = self._cell, self._cell.uplinks[index]
        access: dict[str, Any] = {"delay_s": cell.rtts_s[index] / 2, "jitter_s": JITTER_S, "loss": cell.loss}
        uplink: dict[str, Any] = {}
        if uplink_bps is not None:
            uplink = {"rate_bps": uplink_bps, "queue_bytes": uplink_bps * UPLINK_QUEUE_S / 8}
        return BulkFlow(
            self.time,
            steering.client_config(cell, index),
            (SimulatedLink(self.time, self._rng, **access, **uplink), self._bottleneck),
            SimulatedLink(self.time, self._rng, **access, outages=self._outages),
            start_s=float(self._rng.uniform(0, START_S)),
        )


class _Sender:
    """A flow's sender, as ``steering.reweigh`` wants it."""

    def __init__(self, flow: BulkFlow) -> None:
        self._flow = flow

    def set_alpha(self, alpha: float) -> None:
        self._flow.controller.alpha = alpha
