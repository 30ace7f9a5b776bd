"""RangeSet against a plain set of integers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.transport.ranges import RangeSet

spans = st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda span: (span[0], span[0] + span[1]))


@given(st.lists(st.tuples(st.booleans(), spans), max_size=40))
def test_behaves_like_a_set(operations: list[tuple[bool, tuple[int, int]]]) -> None:
    held, model = RangeSet(), set[int]()
    for adding, (start, end) in operations:
        if adding:
            held.add(start, end)
            model |= set(range(start, end))
        else:
            held.remove(start, end)
            model -= set(range(start, end))
    assert {value for start, end in held for value in range(start, end)} == model
    assert held.total == len(model)
    assert [value in held for value in range(90)] == [value in model for value in range(90)]
    ranges = list(held)
    assert all(before[1] < after[0] for before, after in pairwise(ranges))
    assert held.newest(3) == ranges[::-1][:3]
    if held:
        held.forget_oldest()
        assert held.total == sum(end - start for start, end in ranges[1:])


@given(st.lists(spans.filter(lambda span: span[0] < span[1]), min_size=1), st.integers(1, 10))
def test_popping_takes_the_lowest_first(added: list[tuple[int, int]], limit: int) -> None:
    held = RangeSet()
    for start, end in added:
        held.add(start, end)
    expected = sorted(value for start, end in held for value in range(start, end))
    popped: list[int] = []
    while held:
        start, end = held.pop_first(limit)
        assert 0 < end - start <= limit
        popped += range(start, end)
    assert popped == expected
    assert held.total == 0
