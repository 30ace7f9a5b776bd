"""Weighted max-min: the properties that define it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.control.sampling import stride_for
from ecco_emu.control.shares import weighted_max_min

weights = st.floats(0.01, 100.0)
caps = st.floats(0.0, 1e7) | st.just(math.inf)
flows = st.lists(st.tuples(weights, caps), min_size=1, max_size=12)
capacities = st.floats(0.0, 1e8)


def rates_of(capacity: float, listed: list[tuple[float, float]]) -> list[float]:
    return weighted_max_min(capacity, [weight for weight, _ in listed], [cap for _, cap in listed])


@given(capacities, flows)
def test_it_conserves_capacity_and_exceeds_no_cap(capacity: float, listed: list[tuple[float, float]]) -> None:
    rates = rates_of(capacity, listed)
    assert math.fsum(rates) == pytest.approx(min(capacity, math.fsum(cap for _, cap in listed)), abs=1e-6)
    assert all(0.0 <= rate <= cap for rate, (_, cap) in zip(rates, listed, strict=True))


@given(capacities, flows)
def test_uncapped_flows_are_proportional_and_capped_ones_have_no_more_per_weight(
    capacity: float, listed: list[tuple[float, float]]
) -> None:
    rates = rates_of(capacity, listed)
    levels = [rate / weight for rate, (weight, _) in zip(rates, listed, strict=True)]
    free = [level for level, rate, (_, cap) in zip(levels, rates, listed, strict=True) if rate < cap]
    if free:
        assert free == pytest.approx([free[0]] * len(free), rel=1e-6, abs=1e-6)
        assert max(levels) <= free[0] * (1 + 1e-6) + 1e-6


@given(capacities, st.floats(0.0, 1e7), flows)
def test_more_capacity_takes_nothing_from_anybody(
    capacity: float, more: float, listed: list[tuple[float, float]]
) -> None:
    before = rates_of(capacity, listed)
    after = rates_of(capacity + more, listed)
    assert all(new >= old - 1e-6 * (1 + old) for old, new in zip(before, after, strict=True))


@given(capacities, flows, st.randoms(use_true_random=False))
def test_the_order_of_flows_does_not_matter(
    capacity: float, listed: list[tuple[float, float]], random: object
) -> None:
    order = list(range(len(listed)))
    random.shuffle(order)  # type: ignore[attr-defined]
    straight = rates_of(capacity, listed)
    shuffled = rates_of(capacity, [listed[index] for index in order])
    assert shuffled == pytest.approx([straight[index] for index in order], rel=1e-6, abs=1e-6)


@given(st.floats(0.01, 100.0), st.floats(1.0, 60.0))
def test_a_stride_never_samples_faster_than_asked_unless_that_is_below_the_least_rate(
    fps: float, source_fps: float
) -> None:
    stride = stride_for(fps, source_fps, min_fps=1.0)
    delivered = source_fps / stride
    assert stride >= 1
    assert delivered >= 1.0 - 1e-9
    if source_fps / math.floor(source_fps) <= fps:
        assert delivered <= fps + 1e-6
