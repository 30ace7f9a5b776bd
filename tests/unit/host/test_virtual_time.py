"""The virtual event loop: its clock, its order, work in threads, and what it says when nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import pytest

from ecco_emu.host import work
from ecco_emu.host.loop_thread import LoopThread, StuckCallbackError
from ecco_emu.host.virtual_time import NothingLeftError, VirtualLoop, WallSleepError, in_background
from ecco_emu.host.workers import WorkerDiedError, WorkerProcess


def run(coroutine):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


def test_the_clock_jumps_from_timer_to_timer():
    async def main():
        loop = asyncio.get_running_loop()
        seen = [loop.time()]
        await asyncio.sleep(3600)
        seen.append(loop.time())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.25):
                await asyncio.Event().wait()
        return [*seen, loop.time()]

    assert run(main()) == [0.0, 3600.0, 3600.25]


def test_timers_at_equal_times_run_in_the_order_in_which_they_were_set():
    async def main():
        loop, order = asyncio.get_running_loop(), []
        for number in range(50):
            # the same moment, reached by other sums
            loop.call_at(1.0 if number % 2 else 0.25 + 0.75, order.append, number)
        await asyncio.sleep(2)
        return order

    assert run(main()) == list(range(50))


def test_the_loop_settles_between_two_timers_of_one_moment():
    async def main():
        order = []

        async def steps(name):
            await asyncio.sleep(1)
            for step in range(3):
                order.append(f"{name}{step}")
                await asyncio.sleep(0)

        await asyncio.gather(steps("a"), steps("b"))
        return order

    assert run(main()) == ["a0", "a1", "a2", "b0", "b1", "b2"]


def test_work_is_seen_at_its_due_time_in_the_order_of_submission():
    """However long the host takes for each."""
    release = [threading.Event() for _ in range(3)]

    async def main():
        loop, seen = asyncio.get_running_loop(), []

        async def one(number, lasts):
            with work.lasting(lasts):
                done = Future()
                threading.Thread(
                    target=lambda: (release[number].wait(), done.set_result(number)), daemon=True
                ).start()
                seen.append((await work.outcome(done), loop.time()))

        async def ticks():
            for _ in range(3):
                await asyncio.sleep(1)
                seen.append(("tick", loop.time()))

        # the last one is ready first
        release[2].set()
        threading.Timer(0.05, release[1].set).start()
        threading.Timer(0.1, release[0].set).start()
        await asyncio.gather(one(0, 2.0), one(1, 2.0), one(2, 0.5), ticks())
        return seen

    assert run(main()) == [
        (2, 0.5),
        ("tick", 1.0),
        (0, 2.0),
        (1, 2.0),
        ("tick", 2.0),
        ("tick", 3.0),
    ]


def test_threads_take_no_virtual_time():
    async def main():
        return await asyncio.to_thread(time.sleep, 0.01), asyncio.get_running_loop().time()

    assert run(main()) == (None, 0.0)


def test_an_error_of_work_is_raised_where_it_is_awaited():
    async def main():
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        failed = Future()
        failed.set_exception(KeyError("gone"))
        with pytest.raises(KeyError):
            await work.outcome(failed)

    run(main())


def test_work_that_nobody_awaits_any_more_holds_nobody_up():
    async def main():
        with work.lasting(5), pytest.raises(TimeoutError):
            await asyncio.wait_for(work.outcome(Future()), 1)  # never done
        await asyncio.sleep(10)
        return asyncio.get_running_loop().time()

    assert run(main()) == 11.0


def test_nothing_left_is_told_with_who_waits():
    async def main():
        async def meter():
            while True:  # noqa: ASYNC110 - it measures
                await asyncio.sleep(1)

        async def hopeful():
            await asyncio.Event().wait()

        asyncio.get_running_loop().create_task(in_background(meter()), name="meter")
        await asyncio.create_task(hopeful(), name="hopeful")

    with pytest.raises(NothingLeftError, match=r"nothing can happen any more; waiting for .*hopeful") as told:
        run(main())
    assert "test_virtual_time.py" in str(told.value)
    assert "meter" not in str(told.value)


def test_a_run_that_goes_on_past_its_horizon_is_told():
    async def main():
        asyncio.get_running_loop().horizon_s = 100.0
        while True:  # noqa: ASYNC110 - it is to go on for ever
            await asyncio.sleep(7)

    with pytest.raises(NothingLeftError, match="should have ended by 100 s"):
        run(main())


_ORDERS = """
import asyncio
from ecco_emu.host.virtual_time import VirtualLoop

async def main():
    ended = []
    async def one(number):
        try:
            await asyncio.sleep(10 + number % 3)
        except asyncio.CancelledError:
            ended.append(number)
            raise
    junk = [object() for _ in range(hash("x") % 1000)]
    async def fails():
        await asyncio.sleep(1)
        raise ValueError
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(one(number))
            group.create_task(fails())
    except* ValueError:
        pass
    print(ended)

with asyncio.Runner(loop_factory=VirtualLoop) as runner:
    runner.run(main())
"""


def test_a_task_group_cancels_in_the_same_order_in_every_process():
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _ORDERS],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(outputs) == 1
    assert len(outputs.pop().split(",")) == 30


# -- a loop in a thread --


@pytest.fixture
async def thread():
    made = LoopThread("test", patience_s=1.0)
    yield made
    await made.close()


async def test_time_passes_only_while_somebody_waits(thread):
    async def start():
        asyncio.get_running_loop().create_task(tick())

    times = []

    async def tick():
        while True:
            await asyncio.sleep(1)
            times.append(asyncio.get_running_loop().time())

    async def until(t):
        await asyncio.sleep(t - asyncio.get_running_loop().time())

    await thread.call(start)
    await asyncio.sleep(0.05)
    assert times == []
    await thread.call(lambda: until(3.5))
    await asyncio.sleep(0.05)
    assert (times, thread.loop.time()) == ([1.0, 2.0, 3.0], 3.5)
    await thread.call(lambda: until(5.0))
    # at 5 s the sleeper was set after the tick
    assert thread.loop.time() == 5.0


async def test_a_caller_that_is_cancelled_cancels_the_coroutine_and_waits_for_its_end(thread):
    ended = []

    async def forever():
        try:
            await asyncio.to_thread(time.sleep, 0.02)
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(5)
            ended.append(asyncio.get_running_loop().time())

    async def tick():
        while True:  # noqa: ASYNC110 - it is to go on for ever
            await asyncio.sleep(1)

    async def start():
        asyncio.get_running_loop().create_task(tick())

    await thread.call(start)
    caller = asyncio.create_task(thread.call(forever))
    await asyncio.sleep(0.1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert len(ended) == 1


async def test_errors_come_to_the_caller(thread):
    async def fails():
        raise KeyError("mine")

    async def hopeless():
        await asyncio.Event().wait()

    async def sleeps():
        time.sleep(0.001)  # noqa: ASYNC251 - it is found

    async def stuck():
        while True:
            pass

    with pytest.raises(KeyError, match="mine"):
        await thread.call(fails)
    with pytest.raises(NothingLeftError, match="hopeless"):
        await thread.call(hopeless)
    with pytest.raises(WallSleepError, match=r"sleeps.*calls time\.sleep"):
        await thread.call(sleeps)
    await asyncio.to_thread(time.sleep, 0.001)
    with pytest.raises(StuckCallbackError, match="stuck"):
        await thread.call(stuck)


async def test_a_worker_that_dies_while_time_waits_for_it_is_told(thread):
    worker = WorkerProcess("the test")

    async def waits():
        pid = await worker.call(os.getpid)
        threading.Timer(0.2, os.kill, (pid, signal.SIGKILL)).start()
        await worker.call(time.sleep, 60)

    try:
        with pytest.raises(WorkerDiedError, match="the process for the test died"):
            await thread.call(waits)
    finally:
        worker.close()


async def test_close_ends_what_is_left():
    ended = []

    async def start():
        async def forever(number):
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.append(number)

        for number in range(5):
            asyncio.get_running_loop().create_task(forever(number))
        await asyncio.sleep(0)

    thread = LoopThread("test")
    await thread.call(start)
    await thread.close()
    await thread.close()
    assert ended == [0, 1, 2, 3, 4]
    assert thread.loop.is_closed()
    assert time.sleep.__module__ == "time"
