"""From what was counted while an experiment ran to its figures. Pure; for simulated and real links."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ecco_emu.bench.transport.experiment import HEADERS_BYTES, PACKET_BYTES, Cell, Change, Protocol
from ecco_emu.control.shares import weighted_max_min

Floats = NDArray[np.float64]

NEAR = 0.1
"""A flow within this relative distance of what it should have has converged."""
SMOOTHING_S = 2.0
"""Rates are looked at over this long when asking whether they have converged."""
RECOVERY_SMOOTHING_S = 0.2
RECOVERED = 0.8
"""After an outage: the fraction of the bottleneck that must be used again."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Counters at ``t_s``, seconds since the flows began. All but the queue only ever grow."""

    t_s: Floats
    received_bytes: Floats
    """(flows, times): bytes of datagrams that arrived at the receiver, each once."""
    carried_bytes: Floats
    """(times): Ethernet frames that left the bottleneck."""
    acked: Floats
    """(times): packets of all flows; ``lost``: declared lost by their senders, random loss included."""
    lost: Floats
    cuts: Floats
    queue_s: Floats
    """(times): how long what stands in the bottleneck's queue takes to drain."""
    lag_p99_s: float | None = None
    """How late timers were on the loop that ran the flows (real links only), 99th percentile."""

    @classmethod
    def of(cls, t_s: Sequence[float], samples: Sequence[Sequence[float]], flows: int) -> Trace:
        """From one row a time: each flow's received bytes, then the other counters in the fields' order."""
        counts = np.array(samples, dtype=np.float64).T
        carried, acked, lost, cuts, queue_s = counts[flows:]
        return cls(np.array(t_s, dtype=np.float64), counts[:flows], carried, acked, lost, cuts, queue_s)

    def gained(self, counter: Floats, start_s: float, end_s: float) -> Floats:
        """How much a counter grew between two times, by linear interpolation."""
        return _at(self.t_s, counter, end_s) - _at(self.t_s, counter, start_s)


@dataclass(frozen=True, slots=True)
class Result:
    """What a cell's flows got in its measured time. ``loss`` counts every loss, random ones too."""

    share: tuple[float, ...]
    """Of each flow in what all received."""
    goodput_bps: tuple[float, ...]
    share_error: float
    """The largest relative deviation of a flow from its weighted share, see ``share_error``."""
    utilisation: float
    """Ethernet frames that left the bottleneck against its rate."""
    loss: float
    queue_mean_s: float
    queue_p95_s: float
    queue_max_s: float
    """Largest of the samples, so at least this."""
    cuts: int
    lag_p99_s: float | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """How flows took a change.

    ``reached_s``: seconds until what ``of`` says was first so, None if it never was; ``held``: the fraction
    of the time from then on in which it was (sawtooth rates leave a narrow band now and then).
    """

    of: Literal["weights", "rate", "outage"]
    reached_s: float | None
    held: float
    t_s: tuple[float, ...] = field(repr=False)
    """Time since the change, negative before it; ``rates_bps``: each flow's smoothed goodput then."""
    rates_bps: tuple[tuple[float, ...], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cost:
    """What carrying data cost, both ends together. ``protocol`` None: many flows of ours in one process."""

    protocol: Protocol | None
    goodput_bps: float
    """Application data."""
    cpu: float
    """Of one core, user and system time; what the kernel does in interrupts is charged to whom it hits."""
    goodput_per_cpu_bps: float
    """Bits for each CPU second."""
    system: float
    """Of ``cpu``: the fraction spent in the kernel."""
    us_per_packet: float | None = None
    """CPU microseconds for each data packet, acknowledgements included."""
    lag_p50_s: float | None = None
    """How late the event loop's timers were."""
    lag_p99_s: float | None = None


def share_error(goodputs_bps: Sequence[float], weights: Sequence[float], capped: Sequence[bool]) -> float:
    """The largest relative deviation of a flow from its weighted share of what all of them got.

    Flows that their own uplink holds down (``capped``) are not judged: the others should share by weight
    what the capped ones leave.

    >>> round(share_error([52.0, 30.0, 18.0], [5, 3, 2], [False, False, False]), 6)
    0.1
    """
    free = [index for index, held_down in enumerate(capped) if not held_down]
    total = sum(goodputs_bps[index] for index in free)
    weight = sum(weights[index] for index in free)
    if total <= 0:
        return 1.0  # nobody got anything
    return max(abs(goodputs_bps[i] * weight / (weights[i] * total) - 1) for i in free)


def capped_flows(cell: Cell) -> list[bool]:
    """Which flows cannot use their share, because their own uplink is slower. At least one is not capped
    unless the bottleneck is none."""
    caps = [math.inf if uplink is None else uplink for uplink in cell.uplinks]
    fair = weighted_max_min(cell.rate_bps, cell.weights, caps)
    return [rate >= cap * (1 - 1e-9) for rate, cap in zip(fair, caps, strict=True)]


def evaluate(cell: Cell, trace: Trace) -> Result:
    """The figures of a cell whose run is over."""
    start, end = cell.warmup_s, cell.duration_s
    goodput = trace.gained(trace.received_bytes, start, end) * 8 / cell.measure_s
    total = float(goodput.sum())
    acked, lost = (float(trace.gained(counter, start, end)) for counter in (trace.acked, trace.lost))
    queue = trace.queue_s[(trace.t_s >= start) & (trace.t_s <= end)]
    carried = float(trace.gained(trace.carried_bytes, start, end))
    return Result(
        share=tuple(float(one) / total if total else 0.0 for one in goodput),
        goodput_bps=tuple(float(one) for one in goodput),
        share_error=share_error(goodput.tolist(), cell.weights, capped_flows(cell)),
        utilisation=carried * 8 / cell.measure_s / cell.rate_bps,
        loss=lost / (acked + lost) if acked + lost else 0.0,
        queue_mean_s=float(queue.mean()) if queue.size else 0.0,
        queue_p95_s=float(np.quantile(queue, 0.95)) if queue.size else 0.0,
        queue_max_s=float(queue.max()) if queue.size else 0.0,
        cuts=round(float(trace.gained(trace.cuts, start, end))),
        lag_p99_s=trace.lag_p99_s,
    )


def respond(cell: Cell, change: Change, trace: Trace) -> Response:
    """How soon the flows of a cell did what its change asks for.

    Weights: every flow within ``NEAR`` of its new share of what all get. Rate: every flow within ``NEAR`` of
    its share of the new rate (in full packets). Outage, counted from its end: the
    bottleneck ``RECOVERED`` used again.
    """
    payload = PACKET_BYTES / (PACKET_BYTES + HEADERS_BYTES)
    outage = change.outage_s is not None
    smoothing = RECOVERY_SMOOTHING_S if outage else SMOOTHING_S
    origin = change.at_s + (change.outage_s or 0.0)
    times, rates = smoothed_rates(trace, smoothing)
    if outage:
        good = rates.sum(axis=0) >= RECOVERED * cell.rate_bps * payload
    else:
        weights = np.array(change.weights or cell.weights)
        whole = rates.sum(axis=0) if change.rate_bps is None else change.rate_bps * payload
        target = np.outer(weights / weights.sum(), np.ones_like(times)) * whole
        good = (np.abs(rates - target) <= NEAR * target).all(axis=0)
    since = times - origin
    after = np.flatnonzero((since > 0) & good)
    first = int(after[0]) if after.size else None
    return Response(
        of="outage" if outage else "rate" if change.rate_bps is not None else "weights",
        reached_s=None if first is None else float(since[first]),
        held=0.0 if first is None else float(good[first:].mean()),
        t_s=tuple(since.round(3).tolist()),
        rates_bps=tuple(tuple(row) for row in rates.round().tolist()),
    )


def smoothed_rates(trace: Trace, over_s: float) -> tuple[Floats, Floats]:
    """Times at which a whole ``over_s`` has passed, and (flows, times) the goodput in it, bit/s."""
    times = trace.t_s[trace.t_s >= over_s]
    counts = trace.received_bytes
    return times, (_at(trace.t_s, counts, times) - _at(trace.t_s, counts, times - over_s)) * 8 / over_s


def _at(times: Floats, counter: Floats, when: float | Floats) -> Floats:
    if counter.ndim == 1:
        return np.asarray(np.interp(when, times, counter))
    return np.array([np.interp(when, times, row) for row in counter])
