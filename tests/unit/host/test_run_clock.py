"""The run's clock against a wall clock that the test sets."""

from __future__ import annotations

import asyncio
import time

import pytest

from ecco_emu.host.clock import RunClock


@pytest.fixture
def wall(monkeypatch):
    """Stands still until the test, or a sleep, moves it."""
    clock = {"now": 100.0}
    yield_to_loop = asyncio.sleep

    async def sleep(seconds: float) -> None:
        clock["now"] += seconds
        await yield_to_loop(0)

    monkeypatch.setattr(time, "monotonic", lambda: clock["now"])
    monkeypatch.setattr(asyncio, "sleep", sleep)
    return clock


def test_it_counts_emulated_seconds_from_its_start(wall):
    clock = RunClock(dilation=4.0)
    wall["now"] = 130.0
    clock.start()
    assert clock.now() == 0.0
    wall["now"] = 138.0
    assert clock.now() == 2.0
    assert clock.dilation == 4.0


def test_durations_grow_and_rates_shrink_by_the_dilation(wall):
    clock = RunClock(dilation=4.0)
    assert clock.wall_duration(0.25) == 1.0
    assert clock.wall_rate(6e6) == 1.5e6


async def test_it_sleeps_in_wall_time_and_says_how_late_it_woke_in_emulated_time(wall):
    clock = RunClock(dilation=4.0)
    assert await clock.sleep_until(3.0) == 0.0
    assert wall["now"] == 112.0
    wall["now"] = 120.0
    assert await clock.sleep_until(3.0) == 2.0
    assert wall["now"] == 120.0
