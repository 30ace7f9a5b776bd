"""Processes that outlive their runs: given back, freed of their last user's call, replaced, ended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from ecco_emu.host import warm
from ecco_emu.host.warm import AbandonedError, WarmWorkers
from ecco_emu.host.workers import WorkerDiedError

_kept: list[str] = []


@pytest.fixture
def workers() -> Iterator[WarmWorkers]:
    with WarmWorkers() as made:
        yield made


def remember(word: str) -> tuple[int, list[str]]:
    _kept.append(word)
    return os.getpid(), _kept


def busy(started: str) -> None:
    """Never ends by itself. Says by a file that it has begun."""
    os.close(os.open(started, os.O_CREAT))
    while True:
        pass


def stubborn(started: str) -> None:
    os.close(os.open(started, os.O_CREAT))
    while True:
        try:
            busy(started)
        except BaseException:
            continue


async def until_it_exists(path: str) -> None:
    while not os.path.exists(path):  # noqa: ASYNC110, ASYNC240 - another process makes it
        await asyncio.sleep(0.01)


async def test_a_process_that_was_given_back_is_used_again_with_its_state(workers: WarmWorkers) -> None:
    first = workers.open("a test")
    pid, words = await first.call(remember, "one")
    assert workers.pids == {pid}
    first.close()
    first.close()
    second = workers.open("a test")
    assert await second.call(remember, "two") == (pid, [*words, "two"])
    # one that is in use is not handed out, and other kinds are processes of their own
    others = [workers.open("a test"), workers.open("a test", environment={"A": "1"})]
    answers = await asyncio.gather(*(other.call(remember, "") for other in others))
    pids = {other for other, _ in answers}
    assert len(pids | {pid}) == 3
    assert workers.pids == pids | {pid}


def test_a_process_is_used_again_on_another_event_loop(workers: WarmWorkers) -> None:
    async def once() -> int:
        worker = workers.open("a test")
        pid, _ = await worker.call(remember, "")
        worker.close()
        return pid

    assert asyncio.run(once()) == asyncio.run(once())


async def test_a_call_in_progress_is_abandoned_and_so_are_those_behind_it(
    workers: WarmWorkers, tmp_path: os.PathLike[str]
) -> None:
    began = [os.path.join(tmp_path, name) for name in ("first", "second")]
    worker = workers.open("a test")
    pid, _ = await worker.call(remember, "")
    calls = [asyncio.ensure_future(worker.call(busy, each)) for each in began]
    await until_it_exists(began[0])
    worker.close()
    for call in calls:
        call.cancel()
    again = workers.open("a test")
    assert (await again.call(remember, ""))[0] == pid
    await asyncio.gather(*calls, return_exceptions=True)


async def test_a_process_that_does_not_give_up_is_replaced(
    workers: WarmWorkers, tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "PATIENCE_S", 0.3)
    began = os.path.join(tmp_path, "began")
    worker = workers.open("a test")
    pid, _ = await worker.call(remember, "")
    call = asyncio.ensure_future(worker.call(stubborn, began))
    await until_it_exists(began)
    worker.close()
    call.cancel()
    other, _ = await workers.open("a test").call(remember, "")
    assert other != pid
    assert workers.pids == {other}
    await asyncio.gather(call, return_exceptions=True)


async def test_a_dead_process_is_named_and_then_replaced(workers: WarmWorkers) -> None:
    worker = workers.open("a test")
    pid, _ = await worker.call(remember, "")
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match="a test"):
        await worker.call(remember, "")
    worker.close()
    assert (await workers.open("a test").call(remember, ""))[0] != pid


async def test_closing_ends_all_of_them_and_nothing_is_kept_afterwards(workers: WarmWorkers) -> None:
    used, idle = workers.open("a test"), workers.open("a test")
    pids = [(await worker.call(remember, ""))[0] for worker in (used, idle)]
    idle.close()
    workers.close()
    used.close()
    assert workers.pids == set()
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_signal_ends_a_call_but_nothing_between_calls_and_no_import() -> None:
    def abandoned(filename: str) -> bool:
        try:
            exec(compile("ask()", filename, "exec"), {"ask": lambda: os.kill(os.getpid(), signal.SIGUSR1)})
        except AbandonedError:
            return True
        return False

    before = signal.getsignal(signal.SIGUSR1)
    try:
        warm.make_abandonable()
        assert not abandoned("a module")
        assert warm.carry_out(abandoned, ("a module",), {})
        # a module whose import is broken off would stay half made
        assert not warm.carry_out(abandoned, ("<frozen importlib._bootstrap>",), {})
    finally:
        signal.signal(signal.SIGUSR1, before)
