"""Calls in child processes: which run together, and what happens when one fails."""

from __future__ import annotations

import os
import time

import pytest

from ecco_emu.study.pool import Pool


def pause(seconds: float) -> tuple[int, float, float]:
    start = time.monotonic()
    time.sleep(seconds)
    return os.getpid(), start, time.monotonic()


def fail() -> None:
    raise ZeroDivisionError("on purpose")


async def test_calls_run_side_by_side_within_the_capacity() -> None:
    found: dict[int, tuple[int, float, float]] = {}
    async with Pool("a test", 2) as pool:
        loads = [1.0, 9.0, 1.0]
        await pool.run(pause, [(0.3,)] * 3, found.__setitem__, load=lambda index: loads[index], capacity=2.0)
    assert set(found) == {0, 1, 2}
    heavy = found[1]
    for light in (found[0], found[2]):  # what is over the capacity runs alone
        assert light[2] <= heavy[1] or heavy[2] <= light[1]


async def test_a_failed_call_is_raised() -> None:
    async with Pool("a test", 1) as pool:
        with pytest.raises(ZeroDivisionError, match="on purpose"):
            await pool.run(fail, [()], lambda *_: None)
