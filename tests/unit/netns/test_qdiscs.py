"""The bytes that go to the kernel, taken apart with the layouts of linux/pkt_sched.h."""

import math
import struct
from array import array
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netns.impairment import BurstLoss, Impairment, jitter_table
from netns.netlink import parse_attributes
from netns.qdiscs import Netem, RateLimit, lifted_rate_limit, netem_for, rate_limit_for
from netns.spec import Shape

FRAME_BYTES = 1514


def netem_fields(netem):
    encoded = netem.options()
    names = ("latency", "limit", "loss", "gap", "duplicate", "jitter")
    head = dict(zip(names, struct.unpack_from("=6I", encoded), strict=True))
    return head, dict(parse_attributes(encoded, 24))


def class_fields(limit):
    encoded = dict(parse_attributes(limit.class_options(), 0))
    parms = encoded[1]
    assert len(parms) == 44
    return struct.unpack_from("=BBHhHI", parms), struct.unpack_from("=5I", parms, 24), encoded


def test_htb_encoding():
    limit = RateLimit(rate_bps=8e6, frame_bytes=1514, burst_bytes=5500, limit_bytes=200_000)
    (version, _, default_class, *_) = struct.unpack("=5I", dict(parse_attributes(limit.options(), 0))[2])
    assert (version, default_class) == (3, 1)
    ratespec, (buffer, cbuffer, quantum, level, priority), encoded = class_fields(limit)
    assert ratespec == (0, 1, 0, 0, 0, 1_000_000)
    assert encoded[1][:12] == encoded[1][12:24]  # the ceiling is the rate
    assert buffer == cbuffer == 85938  # 5.5 ms in ticks of 64 ns
    assert quantum > 0
    assert (level, priority) == (0, 0)
    assert set(encoded) == {1}


def gate_fields(limit):
    encoded = dict(parse_attributes(limit.queue_options(), 0))
    *_, least_bytes, rate = struct.unpack_from("=BBHhHI", encoded[1])
    queue_bytes, bucket_ticks, peak_ticks = struct.unpack_from("=3I", encoded[1], 24)
    assert peak_ticks == 0
    rate = struct.unpack("=Q", encoded[4])[0] if 4 in encoded else rate
    return queue_bytes, rate * bucket_ticks * 64e-9, least_bytes


def test_an_open_gate_delays_nothing_and_a_closed_one_never_has_enough_for_a_frame():
    limit = RateLimit(rate_bps=8e6, frame_bytes=1514, burst_bytes=5500, limit_bytes=200_000)
    queue_bytes, bucket_bytes, least_bytes = gate_fields(limit)
    assert (queue_bytes, least_bytes) == (200_000, 0)
    assert bucket_bytes > 1e9
    queue_bytes, bucket_bytes, least_bytes = gate_fields(replace(limit, gate="held"))
    assert queue_bytes == 200_000
    # The longest frame of a lab fits into the bucket, or the kernel would drop it. A frame's cost does not.
    assert 9014 < bucket_bytes < least_bytes


def test_a_link_that_opens_has_a_burst_of_one_frame():
    opening = RateLimit(8e6, 1514, 5500, 200_000, gate="opening")
    _, (buffer, cbuffer, *_), _ = class_fields(opening)
    assert buffer == cbuffer == math.ceil(1514 * 1000 / 64)


def test_htb_beyond_32_bits_uses_the_64_bit_rate():
    ratespec, _, encoded = class_fields(RateLimit(40e9, 1514, 20_000_000, 1_000_000))
    assert ratespec[-1] == 2**32 - 1
    assert struct.unpack("=Q", encoded[6]) == struct.unpack("=Q", encoded[7]) == (5_000_000_000,)


def test_no_rate_no_limit():
    assert rate_limit_for(Shape(delay_s=0.1), 1500) is None


def test_a_lifted_limit_is_the_highest_rate():
    assert lifted_rate_limit(1500).rate_bps == 100e9


def test_the_queue_follows_the_rate():
    assert rate_limit_for(Shape(rate_bps=8e6, queue_s=0.2), 1500).limit_bytes == 200_000
    assert rate_limit_for(Shape(rate_bps=8e6, queue_bytes=12_345), 1500).limit_bytes == 12_345


@settings(deadline=None)
@given(
    rate=st.floats(8e3, 100e9),
    queue=st.one_of(st.none(), st.floats(1e-4, 0.1)),
    mtu=st.integers(576, 9000),
)
def test_the_burst_holds_a_frame_and_the_queue_two(rate, queue, mtu):
    limit = rate_limit_for(Shape(rate_bps=rate, queue_s=queue), mtu)
    assert limit.limit_bytes >= 2 * (mtu + 14)
    # what a late timer costs nothing: about 4 ms of the rate
    assert limit.burst_bytes - (mtu + 14) == pytest.approx(rate / 8 * 0.004, abs=1.0)
    class_fields(limit)


def test_netem_encoding():
    head, attributes = netem_fields(Netem(Impairment(0.02, 0, 0.25), limit_packets=1234, seed=99))
    assert head == {
        "latency": 312_500,
        "limit": 1234,
        "loss": 1_073_741_824,
        "gap": 0,
        "duplicate": 0,
        "jitter": 0,
    }
    assert struct.unpack("=q", attributes[10]) == (20_000_000,)
    assert struct.unpack("=q", attributes[11]) == (0,)
    assert struct.unpack("=Q", attributes[14]) == (99,)


def test_netem_change_resets_what_would_otherwise_stay():
    """sch_netem.c keeps the old values of CORR, REORDER, CORRUPT and RATE when they are left out."""
    _, attributes = netem_fields(Netem(Impairment(0.02), 1000, 0))
    assert attributes[1] == bytes(12)
    assert attributes[3] == bytes(8)
    assert attributes[4] == bytes(8)
    assert attributes[6] == bytes(16)


def test_jitter_brings_a_rate_because_netem_keeps_order_only_then():
    _, attributes = netem_fields(Netem(Impairment(0.02, 0.01), 1000, 0))
    rate, packet_overhead, cell_size, cell_overhead = struct.unpack("=IiIi", attributes[6])
    assert rate * 8 == 10e9
    assert (packet_overhead, cell_size, cell_overhead) == (0, 0, 0)


def test_every_jitter_brings_its_table_because_netem_keeps_the_last_one():
    for name in ("uniform", "normal", "pareto"):
        _, attributes = netem_fields(Netem(Impairment(0.02, 0.01, jitter_distribution=name), 1000, 0))
        values = array("h", attributes[2])
        assert values == jitter_table(name)
        assert len(values) <= 16384
    assert 2 not in netem_fields(Netem(Impairment(0.02), 1000, 0))[1]


def test_burst_loss_is_the_nested_gemodel():
    model = BurstLoss(enter=0.25, leave=0.5, loss_bad=1.0, loss_good=0.125)
    head, attributes = netem_fields(Netem(Impairment(burst_loss=model), 1000, 0))
    assert head["loss"] == 0
    nested = dict(parse_attributes(attributes[5], 0))
    p, r, h, k1 = struct.unpack("=4I", nested[2])
    assert [round(value / 2**32, 6) for value in (p, r, h, k1)] == [0.25, 0.5, 0.0, 0.125]


def test_reorder_duplicate_and_corrupt():
    wire = Impairment(delay_s=0.1, reorder=0.25, duplicate=0.5, corrupt=1.0)
    head, attributes = netem_fields(Netem(wire, 1000, 0))
    assert head["gap"] == 1
    assert head["duplicate"] == 2**31
    assert struct.unpack("=II", attributes[3]) == (2**30, 0)
    assert struct.unpack("=II", attributes[4]) == (2**32 - 1, 0)


def test_netem_extremes():
    head, attributes = netem_fields(Netem(Impairment(60.0, 60.0, 1.0), 1000, 2**64 - 1))
    assert head["loss"] == 2**32 - 1
    assert head["latency"] == 937_500_000
    assert struct.unpack("=q", attributes[10]) == (60_000_000_000,)
    assert struct.unpack("=Q", attributes[14]) == (2**64 - 1,)


@settings(deadline=None)
@given(rate=st.floats(8e3, 1e9), delay=st.floats(0, 5), queue=st.floats(0.001, 5))
def test_netem_never_overflows_before_the_queue(rate, delay, queue):
    netem = netem_for(Shape(rate_bps=rate, delay_s=delay, queue_s=queue), seed=0)
    assert netem.limit_packets >= 1000
    assert netem.limit_packets * FRAME_BYTES >= rate / 8 * (delay + queue)
