"""Parameters of the kernel's queueing disciplines and their encoding for rtnetlink.

They are encoded here rather than with pyroute2 0.9, which refuses netem's rate (ERANGE), rounds times to
microseconds and cannot encode gemodel, distribution or seed. Layouts: linux/pkt_sched.h.

A rate is an htb with one class, and a queue in it. The rate is not a tbf's, because every change of a tbf
fills its bucket: a tbf that is changed every 100 ms lets 4 to 8 % too much through. An htb keeps its debt
when it is changed. It also counts in time, so a frame that is on the wire when the rate changes ends at the
rate with which it began.

The queue is a bfifo inside a tbf that serves as a gate. Open, its rate is that of the fastest link; closed,
it holds every frame back, for an outage. htb cannot do this itself: its lowest rate still lets a frame pass,
and charges that frame for the time of the outage, which then goes on after its end.

Where netem is used, it is the root and htb is its child, as in tc-netem(8). The rate then has a queue of its
own, which is limited exactly in bytes. With htb as the root, the queue would be netem's, which is limited in
packets and also holds the packets that are merely being delayed. This order has two consequences. A packet is
lost before it has taken any of the rate, not after. And a packet that netem reorders passes by the rate, so
``planning`` refuses to combine the two.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Literal

from netns.impairment import Impairment, jitter_table
from netns.spec import ETHERNET_HEADER_BYTES, RATE_RANGE_BPS, Shape

_DEFAULT_QUEUE_S = 0.1
_TIMER_LATENCY_S = 0.004
"""How late the timer that lets htb send again may be without costing throughput."""
_LIVE_LIMIT_BPS = 1e9
"""The rate for which netem has room in a direction that has no rate limit."""
_SMALLEST_FRAME_BYTES = 64
_LIFTED_QUEUE_BYTES = 1 << 24
_OPEN_BYTES_S, _OPEN_BUCKET_S = 12_500_000_000, 0.1
"""The open gate: the highest rate of a link (100 Gbit/s), and a bucket that no burst empties."""
_CLOSED_BYTES_S, _CLOSED_BUCKET_S, _CLOSED_LEAST_BYTES = 1_000_000, 0.0645, 65_535
"""The closed gate: each frame is charged as if it had 65,535 bytes, and the bucket never holds that many. It
lacks what comes in within 1 ms. After that time the kernel looks again, so a gate opens within 1 ms."""
_U32_MAX = 2**32 - 1
_TICK_NS = 64
"""The kernel's unit of time in these messages, fixed since 2.6.31 (PSCHED_SHIFT 6)."""

_TCA_HTB_PARMS, _TCA_HTB_INIT, _TCA_HTB_RATE64, _TCA_HTB_CEIL64 = 1, 2, 6, 7
_HTB_VERSION = 3
_TCA_TBF_PARMS, _TCA_TBF_RATE64 = 1, 4
_TCA_NETEM_CORR, _TCA_NETEM_DELAY_DIST, _TCA_NETEM_REORDER, _TCA_NETEM_CORRUPT = 1, 2, 3, 4
_TCA_NETEM_LOSS, _TCA_NETEM_RATE = 5, 6
_TCA_NETEM_LATENCY64, _TCA_NETEM_JITTER64, _TCA_NETEM_PRNG_SEED = 10, 11, 14
_NETEM_LOSS_GE = 2
_LINKLAYER_ETHERNET = 1
_NESTED = 0x8000

_ORDERING_RATE_BYTES_S = 1_250_000_000
"""The rate that netem gets together with jitter. Without a rate, netem sorts packets by their due times and
so reorders them; with one, it lets each wait for the one before it. 10 Gbit/s adds only 1.2 µs per 1514-byte
frame."""

Gate = Literal["open", "held", "opening"]
"""``held``: frames wait in the queue, and none leaves it. ``opening``, for the first moments afterwards: the
burst is one frame, because a link earns nothing while it is held."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """An htb with one class of ``rate_bps``, which may be ``burst_bytes`` ahead of its rate, and with a queue
    of ``limit_bytes``. No frame is longer than ``frame_bytes``."""

    rate_bps: float
    frame_bytes: int
    burst_bytes: int
    limit_bytes: int
    gate: Gate = "open"

    kind = "htb"
    queue_kind = "tbf"
    minor = 1
    """The number of the class within its qdisc."""

    def options(self) -> bytes:
        """TCA_OPTIONS of the qdisc. They are the same for every rate."""
        # tc_htb_glob: version, rate2quantum, default class, debug, direct packets. Every packet goes to the
        # default class, so no filter is needed.
        return attribute(_TCA_HTB_INIT, struct.pack("=5I", _HTB_VERSION, 10, self.minor, 0, 0))

    def class_options(self) -> bytes:
        """TCA_OPTIONS of the class."""
        rate = max(1, round(self.rate_bps / 8))
        # htb takes its burst as the time that so many bytes take at the rate.
        burst_bytes = self.frame_bytes if self.gate == "opening" else self.burst_bytes
        ticks = min(math.ceil(burst_bytes / rate * 1e9 / _TICK_NS), _U32_MAX)
        ratespec = _ratespec(rate)
        # Twice the same, since the ceiling is the rate: one class has nobody to borrow from. Then buffer,
        # cbuffer, quantum (without effect for one class, but the kernel complains about 0), level, prio.
        parms = ratespec + ratespec + struct.pack("=5I", ticks, ticks, 10_000, 0, 0)
        encoded = attribute(_TCA_HTB_PARMS, parms)
        if rate > _U32_MAX:  # over 34 Gbit/s
            wide = struct.pack("=Q", rate)
            encoded += attribute(_TCA_HTB_RATE64, wide) + attribute(_TCA_HTB_CEIL64, wide)
        return encoded

    def queue_options(self) -> bytes:
        """TCA_OPTIONS of the tbf, which passes its limit on to the bfifo in it."""
        rate, bucket_s, least_bytes = (
            (_CLOSED_BYTES_S, _CLOSED_BUCKET_S, _CLOSED_LEAST_BYTES)
            if self.gate == "held"
            else (_OPEN_BYTES_S, _OPEN_BUCKET_S, 0)
        )
        # tc_tbf_qopt: rate, peak rate (none), limit, bucket in ticks, peak bucket. The bucket must be given
        # as a time: the kernel would charge one in bytes (TCA_TBF_BURST) by the least size too, which makes
        # it large enough for a frame.
        parms = _ratespec(rate, least_bytes) + bytes(12)
        parms += struct.pack("=3I", self.limit_bytes, round(bucket_s * 1e9 / _TICK_NS), 0)
        encoded = attribute(_TCA_TBF_PARMS, parms)
        if rate > _U32_MAX:
            encoded += attribute(_TCA_TBF_RATE64, struct.pack("=Q", rate))
        return encoded


@dataclass(frozen=True, slots=True)
class Netem:
    """A netem. It does everything but the rate on the kernel engine, and holds at most ``limit_packets``."""

    impairment: Impairment
    limit_packets: int
    seed: int

    kind = "netem"

    def options(self) -> bytes:
        """The value of TCA_OPTIONS. It has every parameter each time, because netem keeps the old value of a
        parameter that a change leaves out."""
        wire = self.impairment
        latency_ns, jitter_ns = round(wire.delay_s * 1e9), round(wire.jitter_s * 1e9)
        # tc_netem_qopt. In a kernel that knows LATENCY64 and JITTER64 (below), they replace its times.
        head = struct.pack(
            "=IIIIII",
            min(latency_ns // _TICK_NS, _U32_MAX),
            self.limit_packets,
            _probability(wire.loss),
            1 if wire.reorder else 0,  # gap 1: each packet may be reordered; 0: none
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
        # For uniform jitter too, which netem has built in: it would go on using a table that it got before.
        if wire.jitter_s:
            encoded += attribute(_TCA_NETEM_DELAY_DIST, jitter_table(wire.jitter_distribution).tobytes())
        # This one may be left out: netem then goes back to the independent loss in the head.
        if wire.burst_loss is not None:
            burst = wire.burst_loss
            # tc_netem_gemodel: p, r, h, k1. h is the probability that a packet survives the bad state, but k1
            # that one is lost in the good state.
            model = (burst.enter, burst.leave, 1 - burst.loss_bad, burst.loss_good)
            packed = struct.pack("=4I", *map(_probability, model))
            encoded += attribute(_TCA_NETEM_LOSS | _NESTED, attribute(_NETEM_LOSS_GE, packed))
        return encoded


Qdisc = RateLimit | Netem


def rate_limit_for(shape: Shape, mtu_bytes: int) -> RateLimit | None:
    """The rate limit of a shape, or None for a shape without a rate."""
    if shape.rate_bps is None:
        return None
    return _rate_limit(shape.rate_bps, _queue_bytes(shape), mtu_bytes)


def lifted_rate_limit(mtu_bytes: int) -> RateLimit:
    """The rate limit of a direction whose rate was taken away. Deleting its qdisc would lose the packets that
    wait in it, so it stays, at the highest rate."""
    return _rate_limit(RATE_RANGE_BPS[1], _LIFTED_QUEUE_BYTES, mtu_bytes)


def netem_for(shape: Shape, seed: int) -> Netem:
    """netem for a shape's impairment. Its limit is twice the number of the smallest frames that can be under
    way at the rate, and at least 1000 packets, which is netem's own default."""
    rate_bps = shape.rate_bps if shape.rate_bps is not None else _LIVE_LIMIT_BPS
    # netem must never be the queue that overflows. It has room for the queue of its child as well, because in
    # most kernels the packets of a child count towards the limit.
    held_bytes = rate_bps / 8 * shape.impairment.longest_delay_s + _queue_bytes(shape)
    limit = max(1000, math.ceil(2 * held_bytes / _SMALLEST_FRAME_BYTES))
    return Netem(shape.impairment, min(limit, _U32_MAX), seed)


def attribute(kind: int, value: bytes) -> bytes:
    """One netlink attribute, padded to four bytes."""
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


def _ratespec(rate_bytes_s: int, least_bytes: int = 0) -> bytes:
    # tc_ratespec: cell_log, linklayer, overhead, cell_align, mpu, rate. The rate tables that tc also sends
    # are not used by kernels since 3.8.
    return struct.pack("=BBHhHI", 0, _LINKLAYER_ETHERNET, 0, 0, least_bytes, min(rate_bytes_s, _U32_MAX))


def _rate_limit(rate_bps: float, queue_bytes: int, mtu_bytes: int) -> RateLimit:
    frame_bytes = mtu_bytes + ETHERNET_HEADER_BYTES
    return RateLimit(
        rate_bps=rate_bps,
        frame_bytes=frame_bytes,
        # With less than the bytes that the rate earns meanwhile, a late timer would cost throughput.
        burst_bytes=frame_bytes + math.ceil(rate_bps / 8 * _TIMER_LATENCY_S),
        # A shorter queue would drop the second of two frames that come together.
        limit_bytes=max(2 * frame_bytes, queue_bytes),
    )


def _probability(value: float) -> int:
    # The kernel compares with a random 32-bit number.
    return round(value * _U32_MAX)


def _queue_bytes(shape: Shape) -> int:
    if shape.queue_bytes is not None:
        return shape.queue_bytes
    queue_s = _DEFAULT_QUEUE_S if shape.queue_s is None else shape.queue_s
    return math.ceil((shape.rate_bps or 0.0) / 8 * queue_s)
