"""Parameters of the kernel's queueing disciplines and their encoding for rtnetlink.

Encoded here rather than with pyroute2 0.9, which cannot express tbf's burst in bytes, refuses
netem's rate (ERANGE), rounds times to microseconds and has no seed. Layouts: linux/pkt_sched.h.

netem, where it is used, is the root and tbf its child, as tc-netem(8) shows it: tbf then keeps its own
queue, limited exactly in bytes. The other way round tbf's queue would be netem's, limited in packets
and holding those that are merely being delayed. The price: a packet is lost before it has taken any of
the rate, not after it.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from netns.spec import ETHERNET_HEADER_BYTES, Impairment, Shape

_DEFAULT_QUEUE_S = 0.1
_TIMER_LATENCY_S = 0.004
_LIVE_LIMIT_BPS = 1e9
_SMALLEST_FRAME_BYTES = 64
_U32_MAX = 2**32 - 1
_TICK_NS = 64
"""psched ticks, fixed in the kernel since 2.6.31 (PSCHED_SHIFT 6)."""

_TCA_TBF_PARMS, _TCA_TBF_RATE64, _TCA_TBF_BURST = 1, 4, 6
_TCA_NETEM_CORR, _TCA_NETEM_REORDER, _TCA_NETEM_CORRUPT, _TCA_NETEM_RATE = 1, 3, 4, 6
_TCA_NETEM_LATENCY64, _TCA_NETEM_JITTER64, _TCA_NETEM_PRNG_SEED = 10, 11, 14
_LINKLAYER_ETHERNET = 1

_ORDERING_RATE_BYTES_S = 1_250_000_000
"""netem sorts packets by their time unless it has a rate; 10 Gbit/s costs 1.2 us a frame."""


@dataclass(frozen=True, slots=True)
class Tbf:
    """A token bucket: ``rate_bps``, bucket of ``burst_bytes``, queue of ``limit_bytes``."""

    rate_bps: float
    burst_bytes: int
    limit_bytes: int

    kind = "tbf"

    def options(self) -> bytes:
        """The value of TCA_OPTIONS."""
        rate = max(1, round(self.rate_bps / 8))
        ticks = math.ceil(self.burst_bytes / rate * 1e9 / _TICK_NS)
        # tc_ratespec: cell_log, linklayer, overhead, cell_align, mpu, rate. Rate tables went with 3.8.
        ratespec = struct.pack("=BBHhHI", 0, _LINKLAYER_ETHERNET, 0, 0, 0, min(rate, _U32_MAX))
        parms = ratespec + bytes(12) + struct.pack("=III", self.limit_bytes, min(ticks, _U32_MAX), 0)
        encoded = attribute(_TCA_TBF_PARMS, parms)
        if rate > _U32_MAX:
            encoded += attribute(_TCA_TBF_RATE64, struct.pack("=Q", rate))
        return encoded + attribute(_TCA_TBF_BURST, struct.pack("=I", self.burst_bytes))


@dataclass(frozen=True, slots=True)
class Netem:
    """Delay, jitter and loss by the kernel; ``limit_packets`` bounds what is under way."""

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
            round(wire.loss * _U32_MAX),
            0,  # gap
            0,  # duplicate
            min(jitter_ns // _TICK_NS, _U32_MAX),
        )
        rate = _ORDERING_RATE_BYTES_S if wire.jitter_s else 0
        return (
            head
            + attribute(_TCA_NETEM_CORR, bytes(12))
            + attribute(_TCA_NETEM_REORDER, bytes(8))
            + attribute(_TCA_NETEM_CORRUPT, bytes(8))
            + attribute(_TCA_NETEM_RATE, struct.pack("=IiIi", rate, 0, 0, 0))
            + attribute(_TCA_NETEM_LATENCY64, struct.pack("=q", latency_ns))
            + attribute(_TCA_NETEM_JITTER64, struct.pack("=q", jitter_ns))
            + attribute(_TCA_NETEM_PRNG_SEED, struct.pack("=Q", self.seed))
        )


def tbf_for(shape: Shape, mtu_bytes: int) -> Tbf | None:
    """The token bucket for a shape's rate, or None where it has no rate.

    The bucket holds one frame (with less, nothing ever passes) and what the rate earns in 4 ms, so that
    a late timer does not cost throughput; no more, because every change of rate fills it anew.
    """
    if shape.rate_bps is None:
        return None
    frame_bytes = mtu_bytes + ETHERNET_HEADER_BYTES
    return Tbf(
        rate_bps=shape.rate_bps,
        burst_bytes=frame_bytes + math.ceil(shape.rate_bps / 8 * _TIMER_LATENCY_S),
        limit_bytes=max(2 * frame_bytes, _queue_bytes(shape)),
    )


def netem_for(shape: Shape, seed: int) -> Netem:
    """netem for a shape's impairment. It must never be the queue that overflows: its limit is twice
    what can be under way at the rate, in the smallest frames, and at least the kernel's 1000 packets."""
    rate_bps = shape.rate_bps if shape.rate_bps is not None else _LIVE_LIMIT_BPS
    held_bytes = rate_bps / 8 * (shape.delay_s + shape.jitter_s) + _queue_bytes(shape)
    limit = max(1000, math.ceil(2 * held_bytes / _SMALLEST_FRAME_BYTES))
    return Netem(shape.impairment, min(limit, _U32_MAX), seed)


def attribute(kind: int, value: bytes) -> bytes:
    """One netlink attribute, padded to four bytes."""
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


def _queue_bytes(shape: Shape) -> int:
    if shape.queue_bytes is not None:
        return shape.queue_bytes
    queue_s = _DEFAULT_QUEUE_S if shape.queue_s is None else shape.queue_s
    return math.ceil((shape.rate_bps or 0.0) / 8 * queue_s)
