"""The bytes that go to the kernel, taken apart with the layouts of linux/pkt_sched.h."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netns.netlink import parse_attributes
from netns.qdiscs import Netem, Tbf, netem_for, tbf_for
from netns.spec import Impairment, Shape

FRAME_BYTES = 1514


def netem_fields(netem):
    encoded = netem.options()
    names = ("latency", "limit", "loss", "gap", "duplicate", "jitter")
    head = dict(zip(names, struct.unpack_from("=6I", encoded), strict=True))
    return head, dict(parse_attributes(encoded, 24))


def test_tbf_encoding():
    encoded = dict(parse_attributes(Tbf(rate_bps=8e6, burst_bytes=5500, limit_bytes=200_000).options(), 0))
    assert set(encoded) == {1, 6}
    parms = encoded[1]
    assert len(parms) == 36
    cell_log, linklayer, overhead, cell_align, mpu, rate = struct.unpack_from("=BBHhHI", parms)
    assert (cell_log, linklayer, overhead, cell_align, mpu) == (0, 1, 0, 0, 0)
    assert rate == 1_000_000
    assert parms[12:24] == bytes(12)
    limit, ticks, mtu = struct.unpack_from("=III", parms, 24)
    assert limit == 200_000
    assert ticks == 85938  # 5.5 ms in ticks of 64 ns
    assert mtu == 0
    assert encoded[6] == struct.pack("=I", 5500)


def test_tbf_beyond_32_bits_uses_the_64_bit_rate():
    encoded = dict(parse_attributes(Tbf(40e9, 20_000_000, 1_000_000).options(), 0))
    assert struct.unpack("=Q", encoded[4]) == (5_000_000_000,)
    assert struct.unpack_from("=I", encoded[1], 8) == (2**32 - 1,)


def test_no_rate_no_tbf():
    assert tbf_for(Shape(delay_s=0.1), 1500) is None


def test_the_queue_follows_the_rate():
    assert tbf_for(Shape(rate_bps=8e6, queue_s=0.2), 1500).limit_bytes == 200_000
    assert tbf_for(Shape(rate_bps=8e6, queue_bytes=12_345), 1500).limit_bytes == 12_345


@settings(deadline=None)
@given(
    rate=st.floats(8e3, 1e9),
    queue=st.one_of(st.none(), st.floats(1e-4, 10)),
    mtu=st.integers(576, 9000),
)
def test_a_bucket_always_holds_a_frame_and_a_queue_two(rate, queue, mtu):
    tbf = tbf_for(Shape(rate_bps=rate, queue_s=queue), mtu)
    assert tbf.burst_bytes >= mtu + 14
    assert tbf.limit_bytes >= 2 * (mtu + 14)
    # what a late timer costs nothing, and what a change of rate gives away: about 4 ms of the rate
    assert tbf.burst_bytes - (mtu + 14) == pytest.approx(rate / 8 * 0.004, abs=1.0)
    assert len(tbf.options()) >= 48


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
    """CORR, REORDER, CORRUPT and RATE that are left out keep their old values in sch_netem.c."""
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
