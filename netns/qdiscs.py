"""Parameters of the kernel's queueing disciplines and their encoding for rtnetlink.

Encoded here rather than with pyroute2 0.9, which refuses netem's rate (ERANGE), rounds times to
microseconds and has no gemodel, distribution or seed. Layouts: linux/pkt_sched.h.

Rates are htb with one class and a bfifo in it, not tbf: every change of a tbf fills its bucket, so that one
changed every 100 ms lets 4 to 8 % too much through, while htb keeps what it owes. It also counts in time,
so a frame that is on the wire when the rate changes ends at the rate it began with.

netem, where it is used, is the root and htb its child, as tc-netem(8) shows it: the rate then has its own
queue, limited exactly in bytes. The other way round it would be netem's, limited in packets and holding
those that are merely being delayed. The price: a packet is lost before it has taken any of the rate, not
after it, and one that netem reorders passes by the rate, which is therefore refused.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from netns.impairment import Impairment, jitter_table
from netns.spec import ETHERNET_HEADER_BYTES, RATE_RANGE_BPS, Shape

_DEFAULT_QUEUE_S = 0.1
_TIMER_LATENCY_S = 0.004
_LIVE_LIMIT_BPS = 1e9
_SMALLEST_FRAME_BYTES = 64
_LIFTED_QUEUE_BYTES = 1 << 24
_U32_MAX = 2**32 - 1
_TICK_NS = 64
"""psched ticks, fixed in the kernel since 2.6.31 (PSCHED_SHIFT 6)."""

_TCA_HTB_PARMS, _TCA_HTB_INIT, _TCA_HTB_RATE64, _TCA_HTB_CEIL64 = 1, 2, 6, 7
_HTB_VERSION = 3
_TCA_NETEM_CORR, _TCA_NETEM_DELAY_DIST, _TCA_NETEM_REORDER, _TCA_NETEM_CORRUPT = 1, 2, 3, 4
_TCA_NETEM_LOSS, _TCA_NETEM_RATE = 5, 6
_TCA_NETEM_LATENCY64, _TCA_NETEM_JITTER64, _TCA_NETEM_PRNG_SEED = 10, 11, 14
_NETEM_LOSS_GE = 2
_LINKLAYER_ETHERNET = 1
_NESTED = 0x8000

_ORDERING_RATE_BYTES_S = 1_250_000_000
"""netem sorts packets by their time unless it has a rate; 10 Gbit/s costs 1.2 us a frame."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """htb with one class of ``rate_bps``, at most ``burst_bytes`` ahead, and a queue of ``limit_bytes``."""

    rate_bps: float
    burst_bytes: int
    limit_bytes: int
    least_bytes: int = 0
    """What a shorter frame is charged with."""

    kind = "htb"
    minor = 1
    """The class's number within its qdisc."""

    def options(self) -> bytes:
        """TCA_OPTIONS of the qdisc, which never change."""
        return attribute(_TCA_HTB_INIT, struct.pack("=5I", _HTB_VERSION, 10, self.minor, 0, 0))

    def class_options(self) -> bytes:
        """TCA_OPTIONS of the class."""
        rate = max(1, round(self.rate_bps / 8))
        ticks = min(math.ceil(self.burst_bytes / rate * 1e9 / _TICK_NS), _U32_MAX)
        # tc_ratespec: cell_log, linklayer, overhead, cell_align, mpu, rate. Rate tables went with 3.8.
        ratespec = struct.pack("=BBHhHI", 0, _LINKLAYER_ETHERNET, 0, 0, self.least_bytes, min(rate, _U32_MAX))
        # buffer, cbuffer, quantum (of no effect with one class, but 0 makes the kernel complain), level, prio
        parms = ratespec + ratespec + struct.pack("=5I", ticks, ticks, 10_000, 0, 0)
        encoded = attribute(_TCA_HTB_PARMS, parms)
        if rate > _U32_MAX:
            wide = struct.pack("=Q", rate)
            encoded += attribute(_TCA_HTB_RATE64, wide) + attribute(_TCA_HTB_CEIL64, wide)
        return encoded

    def queue_options(self) -> bytes:
        """TCA_OPTIONS of the bfifo."""
        return struct.pack("=I", self.limit_bytes)


@dataclass(frozen=True, slots=True)
class Netem:
    """Everything but the rate by the kernel; ``limit_packets`` bounds what is under way."""

    impairment: Impairment
    limit_packets: int
    seed: int

    kind = "netem"

    def options(self) -> bytes:
        """The value of TCA_OPTIONS. Every parameter is sent each time: a change keeps what is left out."""
        wire = self.impairment
        latency_ns, jitter_ns = round(wire.delay_s * 1e9), round(wire.jitter_s * 1e9)
        head = struct.pack(
            "=IIIIII",
            min(latency_ns // _TICK_NS, _U32_MAX),
            self.limit_packets,
            _probability(wire.loss),
            1 if wire.reorder else 0,  # gap: every packet may be reordered, or none
            _probability(wire.duplicate),
            min(jitter_ns // _TICK_NS, _U32_MAX),
        )
        rate = _ORDERING_RATE_BYTES_S if wire.jitter_s else 0
        encoded = (
            head
            + attribute(_TCA_NETEM_CORR, bytes(12))
            + attribute(_TCA_NETEM_REORDER, struct.pack("=II", _probability(wire.reorder), 0))
            + attribute(_TCA_NETEM_CORRUPT, struct.pack("=II", _probability(wire.corrupt), 0))
            + attribute(_TCA_NETEM_RATE, struct.pack("=IiIi", rate, 0, 0, 0))
            + attribute(_TCA_NETEM_LATENCY64, struct.pack("=q", latency_ns))
            + attribute(_TCA_NETEM_JITTER64, struct.pack("=q", jitter_ns))
            + attribute(_TCA_NETEM_PRNG_SEED, struct.pack("=Q", self.seed))
        )
        if wire.jitter_s:  # the uniform one too: the kernel keeps a table that it once had
            encoded += attribute(_TCA_NETEM_DELAY_DIST, jitter_table(wire.jitter_distribution).tobytes())
        if wire.burst_loss is not None:  # left out, the kernel goes back to the loss in the head
            burst = wire.burst_loss
            model = (burst.enter, burst.leave, 1 - burst.loss_bad, burst.loss_good)
            packed = struct.pack("=4I", *map(_probability, model))
            encoded += attribute(_TCA_NETEM_LOSS | _NESTED, attribute(_NETEM_LOSS_GE, packed))
        return encoded


Qdisc = RateLimit | Netem


def rate_limit_for(shape: Shape, mtu_bytes: int) -> RateLimit | None:
    """The rate limit of a shape, or None where it has none.

    It may be ahead by one frame and by what the rate earns in 4 ms, so that a late timer does not cost
    throughput.
    """
    if shape.rate_bps is None:
        return None
    return _rate_limit(shape.rate_bps, _queue_bytes(shape), mtu_bytes)


def lifted_rate_limit(mtu_bytes: int) -> RateLimit:
    """For a direction without a rate whose device has a queue already: taking the qdisc away would lose
    what waits in it, so it stays and limits nothing."""
    return _rate_limit(RATE_RANGE_BPS[1], _LIFTED_QUEUE_BYTES, mtu_bytes)


def netem_for(shape: Shape, seed: int) -> Netem:
    """netem for a shape's impairment. It must never be the queue that overflows: its limit is twice
    what can be under way at the rate, in the smallest frames, and at least the kernel's 1000 packets."""
    rate_bps = shape.rate_bps if shape.rate_bps is not None else _LIVE_LIMIT_BPS
    held_bytes = rate_bps / 8 * shape.impairment.longest_delay_s + _queue_bytes(shape)
    limit = max(1000, math.ceil(2 * held_bytes / _SMALLEST_FRAME_BYTES))
    return Netem(shape.impairment, min(limit, _U32_MAX), seed)


def attribute(kind: int, value: bytes) -> bytes:
    """One netlink attribute, padded to four bytes."""
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


def _rate_limit(rate_bps: float, queue_bytes: int, mtu_bytes: int) -> RateLimit:
    frame_bytes = mtu_bytes + ETHERNET_HEADER_BYTES
    return RateLimit(
        rate_bps=rate_bps,
        burst_bytes=frame_bytes + math.ceil(rate_bps / 8 * _TIMER_LATENCY_S),
        limit_bytes=max(2 * frame_bytes, queue_bytes),
    )


def _probability(value: float) -> int:
    return round(value * _U32_MAX)


def _queue_bytes(shape: Shape) -> int:
    if shape.queue_bytes is not None:
        return shape.queue_bytes
    queue_s = _DEFAULT_QUEUE_S if shape.queue_s is None else shape.queue_s
    return math.ceil((shape.rate_bps or 0.0) / 8 * queue_s)
