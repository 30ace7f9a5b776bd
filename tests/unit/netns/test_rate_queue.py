import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netns import Shape
from netns.qdiscs import rate_limit_for
from netns.simulated.rate_queue import RateQueue

LIMIT = rate_limit_for(Shape(rate_bps=8e5, queue_bytes=5000), 1500)
"""0.1 MB/s: 1000 bytes take 10 ms. The burst is a frame and 4 ms, 1914 bytes."""


def packet(number, size=1000):
    return (number, size, b"", None, ("", 0), None, None)


def departures(queue, until=math.inf):
    found = []
    while queue.waiting and queue.waiting[0][0] <= until:
        at, (number, *_) = queue.pop()
        found.append((number, pytest.approx(at)))
    return found


def full(count=8, now=1.0):
    """Those that have left at once are no longer in it."""
    queue = RateQueue(LIMIT)
    for number in range(count):
        if queue.waiting and queue.waiting[0][0] <= now:
            queue.pop()
        queue.push(packet(number), now)
    return queue


def test_frames_leave_at_the_rate_after_the_burst():
    queue = RateQueue(LIMIT)
    for number in range(5):
        queue.push(packet(number), 1.0)
    # 1914 bytes are earned, and a frame leaves while anything is left of them
    assert departures(queue) == [(0, 1.0), (1, 1.0), (2, 1.00086), (3, 1.01086), (4, 1.02086)]


def test_a_frame_for_which_there_is_no_room_is_dropped():
    queue = RateQueue(LIMIT)
    for number in range(7):
        queue.push(packet(number), 1.0)
    assert (queue.drops, queue.backlog_bytes) == (2, 5000)
    queue.pop()
    queue.push(packet(7, size=1001), 1.0)
    assert queue.drops == 3
    queue.push(packet(8), 1.0)
    assert queue.drops == 3


def test_a_burst_is_earned_again_in_silence_and_no_more_than_a_burst():
    queue = RateQueue(LIMIT)
    for start in (1.0, 50.0):
        for number in range(3):
            queue.push(packet(number), start)
        assert departures(queue) == [(0, start), (1, start), (2, start + 0.00086)]


def test_a_change_keeps_the_frames_and_the_debt():
    queue = full(count=4)
    assert departures(queue, 1.00086) == [(2, 1.00086)]
    # the third was charged 10 ms; the fourth takes 5 ms at twice the rate
    queue.set(replace(LIMIT, rate_bps=1.6e6), 1.002)
    queue.push(packet(4), 1.002)
    assert departures(queue) == [(3, 1.01086), (4, 1.01586)]


def test_a_change_that_changes_nothing_changes_no_time():
    queue, changed = full(), full()
    for at in (1.0005, 1.003, 1.02):
        assert departures(queue, at) == departures(changed, at)
        changed.set(LIMIT, at)
    assert departures(queue) == departures(changed)


def test_a_closed_gate_holds_everything_and_opening_has_no_burst():
    queue = RateQueue(replace(LIMIT, gate="held"))
    for number in range(3):
        queue.push(packet(number), 1.0)
    assert departures(queue, 1e9) == []
    queue.set(replace(LIMIT, gate="opening"), 2.0)
    # one frame of 1514 bytes is earned
    assert departures(queue) == [(0, 2.0), (1, 2.0), (2, 2.00486)]


def test_a_flush_loses_the_frames_and_the_debt():
    queue = full(count=5)
    assert queue.flush() == 3
    assert (queue.backlog_bytes, queue.drops) == (0, 0)
    queue.push(packet(9), 1.0)
    assert departures(queue) == [(9, 1.0)]


steps = st.lists(
    st.tuples(st.floats(0, 0.05), st.integers(42, 1514), st.sampled_from([8e5, 2e5, 4e6, None])), max_size=60
)
"""The gap to the step before, a frame, and a new rate, if any."""


@settings(deadline=None)
@given(steps=steps)
def test_order_conservation_and_the_rate_hold_under_changes(steps):
    queue, now, sent, left = RateQueue(LIMIT), 0.0, 0, []
    highest = 8e5

    def take(until):
        while queue.waiting and queue.waiting[0][0] <= until:
            at, taken = queue.pop()
            left.append((at, taken[0], taken[1]))

    for gap, size, rate_bps in steps:
        now += gap
        take(now)
        if rate_bps is not None:
            highest = max(highest, rate_bps)
            queue.set(replace(LIMIT, rate_bps=rate_bps), now)
        queue.push(packet(sent, size), now)
        sent += 1
        assert queue.backlog_bytes == sum(waiting[1] for _, _, waiting in queue.waiting) <= 5000
    take(math.inf)
    assert len(left) + queue.drops == sent
    assert [number for _, number, _ in left] == sorted(number for _, number, _ in left)
    assert all(first[0] <= then[0] for first, then in itertools.pairwise(left))
    for first in range(len(left)):  # no stretch carries more than its rate, a burst and a frame
        carried = sum(size for _, _, size in left[first:])
        assert carried <= (left[-1][0] - left[first][0]) * highest / 8 + 1914 * highest / 8e5 + 1514 + 1e-6
