import math

from hypothesis import given, settings
from hypothesis import strategies as st

from netns.relay.delay_line import PACKET_OVERHEAD_BYTES, DelayLine


def line(*, seed=1, limit_bytes=1 << 20, delay_s=0.0, jitter_s=0.0, loss=0.0):
    made = DelayLine(seed=seed, limit_bytes=limit_bytes)
    made.set(delay_s=delay_s, jitter_s=jitter_s, loss=loss)
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
    wire.set(delay_s=0.25, jitter_s=0.0, loss=0.0)
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
    wire.set(delay_s=0.5, jitter_s=0.0, loss=0.0)
    wire.push(b"c", 1.0)
    assert wire.next_due == 1.5


def test_jitter_does_not_shift_which_packets_are_lost():
    def fates(jitter_s):
        wire = line(seed=5, delay_s=0.1, jitter_s=jitter_s, loss=0.3)
        return [wire.push(b"x", float(i)) for i in range(200)]

    assert fates(0.0) == fates(0.1)


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
