"""From counters sampled during an experiment to its figures. Pure; for simulated and real links alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ecco_emu.bench.transport.experiment import HEADERS_BYTES, PACKET_BYTES, Cell, Change, Protocol
from ecco_emu.control.shares import weighted_max_min

FloatArray = NDArray[np.float64]

NEAR = 0.1
"""A flow has converged when its goodput is within this relative distance of its target."""
SMOOTHING_S = 2.0
"""Convergence is judged on goodputs averaged over this long: single packets make shorter ones ragged."""
RECOVERY_SMOOTHING_S = 0.2
"""The same for recovery from an outage, which takes less than a second."""
RECOVERED = 0.8
"""An outage is over for the flows when this fraction of the bottleneck is used again."""


@dataclass(frozen=True, slots=True)
class CellTrace:
    """The counters of a cell, sampled at ``t_s``, seconds since the flows began. All but ``queue_s`` are
    running totals, and so never fall."""

    t_s: FloatArray
    received_bytes: FloatArray
    """(flows, times): bytes of datagrams that arrived at the receiver. A duplicate does not count."""
    carried_bytes: FloatArray
    """(times): bytes of Ethernet frames that left the bottleneck."""
    acked: FloatArray
    """(times): acknowledged packets of all flows together."""
    lost: FloatArray
    """(times): packets that the senders declared lost, those lost at random included."""
    cuts: FloatArray
    """(times): reductions of a congestion window."""
    queue_s: FloatArray
    """(times): the time that the bottleneck needs to drain its queue."""
    lag_p99_s: float | None = None
    """99th percentile of the lateness of timers on the loop that ran the flows; None for simulated links."""

    @classmethod
    def of(cls, t_s: Sequence[float], samples: Sequence[Sequence[float]], flows: int) -> CellTrace:
        """From rows of (flows + 5) counters, one row for each time: each flow's received bytes first, then
        the other counters in the order of the fields."""
        counts = np.array(samples, dtype=np.float64).T
        carried, acked, lost, cuts, queue_s = counts[flows:]
        return cls(np.array(t_s, dtype=np.float64), counts[:flows], carried, acked, lost, cuts, queue_s)

    def gained(self, counter: FloatArray, start_s: float, end_s: float) -> FloatArray:
        """The growth of a counter between two times, by linear interpolation: (flows) or a scalar."""
        return _at(self.t_s, counter, end_s) - _at(self.t_s, counter, start_s)


@dataclass(frozen=True, slots=True)
class Result:
    """The shares and goodputs of a cell's flows, and how its bottleneck fared, in its measured time."""

    share: tuple[float, ...]
    """Of each flow: its part of all received bytes."""
    goodput_bps: tuple[float, ...]
    """Of each flow: received datagrams, their UDP payload."""
    share_error: float
    """The largest relative deviation of a flow from its weighted share, see ``share_error``."""
    utilisation: float
    """The rate of Ethernet frames that left the bottleneck, as a fraction of the bottleneck's."""
    loss: float
    """The fraction of packets that were lost, at random or by an overflow."""
    queue_mean_s: float
    queue_p95_s: float
    queue_max_s: float
    """The largest sample; between two samples the queue may have been longer."""
    cuts: int
    lag_p99_s: float | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """How flows followed a change. See ``respond`` for the condition that each kind of change must reach."""

    of: Literal["weights", "rate", "outage"]
    reached_s: float | None
    """Seconds until the condition was first true; None if it never was."""
    held: float
    """The fraction of the time after that in which it was true: sawtooth rates leave a narrow band now and
    then."""
    t_s: tuple[float, ...] = field(repr=False)
    """Seconds since the change (for an outage, since its end); negative before."""
    rates_bps: tuple[tuple[float, ...], ...] = field(repr=False)
    """(flows, times): smoothed goodputs at ``t_s``."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The CPU time of a transfer, both ends together. ``protocol`` None: many of our own flows in one
    process."""

    protocol: Protocol | None
    goodput_bps: float
    """Application data."""
    cpu: float
    """CPU seconds, user and system, for each second. The kernel charges the work of an interrupt to the
    process that it interrupts."""
    goodput_per_cpu_bps: float
    """Bits for each CPU second."""
    system: float
    """Of ``cpu``: the fraction spent in the kernel."""
    us_per_packet: float | None = None
    """CPU microseconds for each data packet, acknowledgements included."""
    lag_p50_s: float | None = None
    """Median lateness of the event loop's timers, and below the 99th percentile; None unless many flows."""
    lag_p99_s: float | None = None


def share_error(goodputs_bps: Sequence[float], weights: Sequence[float], capped: Sequence[bool]) -> float:
    """The largest relative deviation of a flow's goodput from its weighted share of all flows' goodput.

    A flow that its own uplink holds down (``capped``) is not judged, and its goodput does not count: the
    other flows should share the rest by weight. If nothing arrived at all, the error is 1.

    >>> round(share_error([52.0, 30.0, 18.0], [5, 3, 2], [False, False, False]), 6)
    0.1
    """
    free = [index for index, held_down in enumerate(capped) if not held_down]
    total = sum(goodputs_bps[index] for index in free)
    weight = sum(weights[index] for index in free)
    if total <= 0:
        return 1.0
    return max(abs(goodputs_bps[i] * weight / (weights[i] * total) - 1) for i in free)


def capped_flows(cell: Cell) -> list[bool]:
    """For each flow, whether its own uplink is slower than its weighted max-min fair share of the bottleneck.

    All flows are capped only if the bottleneck can carry all uplinks at once.
    """
    caps = [math.inf if uplink is None else uplink for uplink in cell.uplinks]
    fair = weighted_max_min(cell.rate_bps, cell.weights, caps)
    return [rate >= cap * (1 - 1e-9) for rate, cap in zip(fair, caps, strict=True)]


def evaluate(cell: Cell, trace: CellTrace) -> Result:
    """The figures of a cell, from the counters of its whole run."""
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


def respond(cell: Cell, change: Change, trace: CellTrace) -> Response:
    """How soon the flows of a cell reached the condition that its change sets.

    New weights: each flow's goodput is within ``NEAR`` of its new share of all goodput. A new rate: each
    flow's goodput is within ``NEAR`` of its share of the new rate, less headers. An outage, from its end: all
    goodput is at least ``RECOVERED`` of the bottleneck's rate, less headers.
    """
    # A link's rate counts whole frames, goodput only what the frames carry.
    payload = PACKET_BYTES / (PACKET_BYTES + HEADERS_BYTES)
    outage = change.outage_s is not None
    smoothing = RECOVERY_SMOOTHING_S if outage else SMOOTHING_S
    origin = change.at_s + (change.outage_s or 0.0)
    times, rates = smoothed_rates(trace, smoothing)
    if outage:
        good = rates.sum(axis=0) >= RECOVERED * cell.rate_bps * payload
    else:
        weights = np.array(change.weights or cell.weights)
        # With new weights the link stays as full as it was, and the flows' sum is a fair reference. With a
        # new rate the sum may still be the old rate's.
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


def smoothed_rates(trace: CellTrace, over_s: float) -> tuple[FloatArray, FloatArray]:
    """Sampled times from ``over_s`` on, and (flows, times) the mean goodput, bit/s, in the ``over_s`` before
    each."""
    times = trace.t_s[trace.t_s >= over_s]
    counts = trace.received_bytes
    return times, (_at(trace.t_s, counts, times) - _at(trace.t_s, counts, times - over_s)) * 8 / over_s


def _at(times: FloatArray, counter: FloatArray, when: float | FloatArray) -> FloatArray:
    if counter.ndim == 1:
        return np.asarray(np.interp(when, times, counter))
    return np.array([np.interp(when, times, row) for row in counter])
