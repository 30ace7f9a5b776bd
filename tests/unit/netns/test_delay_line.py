import itertools
import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netns.delay_line import PACKET_OVERHEAD_BYTES, DelayLine
from netns.impairment import DISTRIBUTIONS, jitter_table


def line(*, seed=1, limit_bytes=1 << 20, **impairment):
    made = DelayLine(seed=seed, limit_bytes=limit_bytes)
    made.set(**impairment)
    return made


def test_a_fixed_delay():
    wire = line(delay_s=0.5)
    wire.push(b"a", 10.0)
    wire.push(b"b", 10.25)
    assert wire.next_due == 10.5
    assert wire.pop_due(10.49) == []
    assert wire.pop_due(10.5) == [b"a"]
    assert wire.next_due == 10.75
    assert wire.pop_due(11.0) == [b"b"]
    assert wire.next_due is None


def test_no_delay_comes_out_at_once():
    wire = line()
    wire.push(b"a", 3.0)
    assert wire.pop_due(3.0) == [b"a"]


def test_a_shorter_delay_does_not_let_later_packets_overtake():
    wire = line(delay_s=1.0)
    wire.push(b"a", 0.0)
    wire.set(delay_s=0.25)
    wire.push(b"b", 0.5)
    wire.push(b"c", 1.0)
    assert wire.pop_due(0.99) == []
    assert wire.pop_due(1.0) == [b"a", b"b"]
    assert wire.pop_due(1.25) == [b"c"]


def test_total_loss_and_none():
    wire = line(loss=1.0)
    assert not wire.push(b"a", 0.0)
    assert wire.lost == 1
    assert wire.next_due is None
    assert all(line(loss=0.0).push(b"a", 0.0) for _ in range(100))


def test_a_full_line_drops_and_counts():
    wire = line(delay_s=1.0, limit_bytes=2 * (100 + PACKET_OVERHEAD_BYTES))
    assert wire.push(bytes(100), 0.0)
    assert wire.push(bytes(100), 0.0)
    assert not wire.push(b"x", 0.0)
    assert wire.overflowed == 1
    assert wire.backlog_bytes == 200
    wire.pop_due(1.0)
    assert wire.backlog_bytes == 0
    assert wire.push(b"x", 1.0)


def test_a_cleared_line_is_empty_and_owes_nothing_to_what_was_in_it():
    wire = line(delay_s=5.0)
    wire.push(b"a", 0.0)
    wire.push(b"b", 0.0)
    assert wire.clear() == 2
    assert wire.next_due is None
    assert wire.backlog_bytes == 0
    wire.set(delay_s=0.5)
    wire.push(b"c", 1.0)
    assert wire.next_due == 1.5


def test_jitter_does_not_shift_which_packets_are_lost():
    def fates(jitter_s):
        wire = line(seed=5, delay_s=0.1, jitter_s=jitter_s, loss=0.3)
        return [wire.push(b"x", float(i)) for i in range(200)]

    assert fates(0.0) == fates(0.1)


def all_of(wire):
    out = []
    while (due := wire.next_due) is not None:
        out += wire.pop_due(due)
    return out


def test_duplicates_follow_each_other_and_are_counted_in_the_backlog():
    wire = line(delay_s=0.1, duplicate=1.0)
    for packet in (b"a", b"b"):
        wire.push(packet, 0.0)
    assert wire.backlog_bytes == 4
    assert all_of(wire) == [b"a", b"a", b"b", b"b"]


def test_a_corrupted_packet_differs_in_one_bit():
    wire = line(corrupt=1.0)
    for number in range(50):
        wire.push(bytes(20), number)
    for packet in all_of(wire):
        assert sum(byte.bit_count() for byte in packet) == 1
    assert wire.push(b"", 60.0)


def test_a_reordered_packet_skips_the_delay_and_only_that():
    wire = line(delay_s=1.0)
    wire.push(b"a", 0.0)
    wire.set(delay_s=1.0, reorder=1.0)
    wire.push(b"b", 0.25)
    assert wire.next_due == 0.25
    assert wire.pop_due(0.25) == [b"b"]
    assert wire.pop_due(1.0) == [b"a"]


def test_a_packet_that_was_due_before_is_not_overtaken_though_nobody_has_looked_since():
    wire = line(delay_s=0.1)
    wire.push(b"a", 0.0)
    wire.push(b"b", 0.3)
    wire.set(delay_s=0.1, reorder=1.0)
    wire.push(b"c", 0.35)
    assert wire.next_due == 0.1
    assert wire.pop_due(1.0) == [b"a", b"c", b"b"]


def test_burst_loss_has_its_mean_and_its_bursts():
    wire = line(seed=3, limit_bytes=1 << 30, burst=(0.02, 0.25, 1.0, 0.0))
    fates = [wire.push(b"x", 0.0) for _ in range(50_000)]
    lost = fates.count(False)
    bursts = sum(1 for before, now in itertools.pairwise(fates) if before and not now)
    assert lost / len(fates) == pytest.approx(0.02 / 0.27, rel=0.1)
    assert lost / bursts == pytest.approx(4.0, rel=0.1)


def test_a_model_that_is_taken_away_leaves_no_bad_state_behind():
    wire = line(burst=(1.0, 0.0, 1.0, 0.0))
    wire.push(b"x", 0.0)
    assert not wire.push(b"x", 0.0)
    wire.set()
    wire.set(burst=(0.0, 1.0, 1.0, 0.0))
    assert wire.push(b"x", 0.0)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_jitter_follows_the_table(name):
    table = jitter_table(name)
    wire = line(delay_s=10.0, jitter_s=1.0, table=table)
    delays = []
    for number in range(4000):  # far enough apart that none must wait for its predecessor
        wire.push(b"x", 100.0 * number)
        delays.append(wire.next_due - 100.0 * number)
        wire.pop_due(wire.next_due)
    deviations = [delay - 10.0 for delay in delays]
    assert statistics.fmean(deviations) == pytest.approx(0.0, abs=0.06)
    width = 1 / math.sqrt(3) if name == "uniform" else 1.0
    assert statistics.pstdev(deviations) == pytest.approx(width, rel=0.12)


packets = st.lists(
    st.tuples(st.floats(0, 0.1), st.integers(0, 1500)), max_size=60
)  # gap to the one before in seconds, size in bytes


@settings(deadline=None)
@given(
    packets=packets, delay=st.floats(0, 0.5), spread=st.floats(0, 1), loss=st.floats(0, 1), seed=st.integers()
)
def test_order_delay_bounds_and_conservation(packets, delay, spread, loss, seed):
    jitter = delay * spread
    wire = line(seed=seed, delay_s=delay, jitter_s=jitter, loss=loss)
    now, kept, dues = 0.0, [], []
    for number, (gap, size) in enumerate(packets):
        now += gap
        packet = number.to_bytes(4, "big") + bytes(size)
        if wire.push(packet, now):
            kept.append((packet, now))
    out = []
    while (due := wire.next_due) is not None:
        for packet in wire.pop_due(due):
            out.append(packet)
            dues.append(due)
    assert out == [packet for packet, _ in kept]  # all that was not lost, in order
    assert dues == sorted(dues)
    latest = -math.inf
    for (_, entered), due in zip(kept, dues, strict=True):
        latest = max(latest, entered + delay + jitter)
        assert entered + delay - jitter - 1e-9 <= due <= latest + 1e-9
    assert wire.lost == len(packets) - len(kept)
    assert wire.backlog_bytes == 0


@settings(deadline=None)
@given(seed=st.integers(), loss=st.floats(0, 1))
def test_the_same_seed_loses_the_same_packets(seed, loss):
    first, second = line(seed=seed, loss=loss), line(seed=seed, loss=loss)
    assert [first.push(b"", 0.0) for _ in range(50)] == [second.push(b"", 0.0) for _ in range(50)]


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 3000), max_size=200), limit=st.integers(1000, 100_000))
def test_memory_is_bounded(sizes, limit):
    wire = line(delay_s=1.0, limit_bytes=limit)
    for size in sizes:
        wire.push(bytes(size), 0.0)
        assert wire.backlog_bytes <= limit
    held = wire.pop_due(1.0)
    assert sum(len(packet) + PACKET_OVERHEAD_BYTES for packet in held) <= limit
    assert len(held) + wire.overflowed == len(sizes)


def test_a_packet_that_overtakes_is_due_before_those_that_wait():
    wire = line(delay_s=1.0)
    wire.push(b"a", 0.0)
    assert wire.next_due == 1.0
    wire.set(delay_s=1.0, reorder=1.0)
    wire.push(b"b", 0.25)
    assert wire.next_due == 0.25
    assert wire.pop_due(0.25) == [b"b"]
    assert wire.next_due == 1.0
    assert wire.pop_due(1.0) == [b"a"]
    assert wire.next_due is None
