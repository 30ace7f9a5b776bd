from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.core.clock import EmulatedTime


def test_four_wall_seconds_are_one_emulated():
    time = EmulatedTime(dilation=4.0, origin_wall=100.0)
    assert time.emulated(100.0) == 0.0
    assert time.emulated(108.0) == 2.0
    assert time.wall(2.0) == 108.0


def test_durations_grow_and_rates_shrink_by_the_dilation():
    time = EmulatedTime(dilation=4.0, origin_wall=100.0)
    assert time.wall_duration(0.25) == 1.0
    assert time.wall_rate(6e6) == 1.5e6


def test_bytes_in_a_duration_do_not_depend_on_the_dilation():
    slow, fast = EmulatedTime(8.0, 0.0), EmulatedTime(0.5, 0.0)
    assert slow.wall_rate(6e6) * slow.wall_duration(3.0) == fast.wall_rate(6e6) * fast.wall_duration(3.0)


@pytest.mark.parametrize("dilation", [0.0, -1.0, float("nan")])
def test_a_dilation_is_positive(dilation):
    with pytest.raises(ValueError, match="dilation must be positive"):
        EmulatedTime(dilation=dilation, origin_wall=0.0)


@given(st.floats(0.1, 1000), st.floats(0, 1e6), st.floats(0, 1e5))
def test_there_and_back(dilation, origin, t):
    time = EmulatedTime(dilation, origin)
    assert time.emulated(time.wall(t)) == pytest.approx(t, abs=1e-7 + origin * 1e-9)
