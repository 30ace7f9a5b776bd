"""Worker processes: their calls, their errors, and every way in which one ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ecco_emu.host.workers import WorkerDiedError, WorkerProcess, thread_limits

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def worker(environment: dict[str, str] | None = None) -> AsyncIterator[WorkerProcess]:
    made = WorkerProcess("a test", environment=environment)
    try:
        yield made
    finally:
        made.close()


class OddError(Exception):
    """An error that cannot be rebuilt from its arguments."""

    def __init__(self, number: int, word: str) -> None:
        super().__init__(f"{number} {word}")


def double(value: int) -> int:
    return 2 * value


def fail(kind: str) -> None:
    if kind == "odd":
        raise OddError(1, "x")
    raise EOFError(kind) if kind == "end" else ValueError(kind)


def hang_up() -> bool:
    """What the end of a terminal does to all of its processes."""
    os.kill(os.getpid(), signal.SIGHUP)
    return True


def answer_with_what_cannot_travel() -> object:
    return threading.Lock()


def environment() -> dict[str, str]:
    return dict(os.environ)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def write_a_large_answer(fifo: Path | None, megabytes: int) -> bytes:
    """Its sender fills the pipe and waits there for the reader; the fifo says that it is about to."""
    answer = bytes(megabytes << 20)
    if fifo is not None:
        fifo.write_bytes(b"now")
    return answer


async def test_calls_are_answered_in_order() -> None:
    async with worker() as made:
        assert await asyncio.gather(*(made.call(double, n) for n in range(20))) == [2 * n for n in range(20)]


async def test_an_error_is_raised_here_with_its_traceback_and_the_process_goes_on() -> None:
    async with worker() as made:
        with pytest.raises(ValueError, match="bad") as raised:
            await made.call(fail, "bad")
        assert "in fail" in "".join(raised.value.__notes__)
        with pytest.raises(EOFError, match="end"):  # which is no end of the pipe
            await made.call(fail, "end")
        with pytest.raises(TypeError):
            await made.call(fail, "odd")
        with pytest.raises(TypeError, match="pickle"):
            await made.call(answer_with_what_cannot_travel)
        with pytest.raises((AttributeError, TypeError), match="pickle"):
            await made.call(lambda: None)
        assert await made.call(double, 4) == 8


async def test_the_end_of_a_terminal_is_left_to_the_parent() -> None:
    async with worker() as made:
        assert await made.call(hang_up)
        assert await made.call(double, 1) == 2


async def test_a_process_that_dies_is_named_by_every_call_from_then_on() -> None:
    async with worker() as made:
        calls = [made.call(double, 1), made.call(die), made.call(double, 2)]
        first, *others = await asyncio.gather(*calls, return_exceptions=True)
        assert first == 2
        for error in (*others, *await asyncio.gather(made.call(double, 3), return_exceptions=True)):
            assert isinstance(error, WorkerDiedError)
            assert "the process for a test died" in str(error)


async def test_a_cancelled_call_that_waits_is_not_made() -> None:
    async with worker() as made:
        await made.call(double, 0)
        slow = asyncio.create_task(made.call(write_a_large_answer, None, 8))
        waiting = asyncio.create_task(made.call(die))
        await asyncio.sleep(0)
        waiting.cancel()
        assert len(await slow) == 8 << 20
        assert await made.call(double, 1) == 2


async def test_close_does_not_wait_for_a_child_that_writes(tmp_path: Path) -> None:
    for number in range(3):
        began = tmp_path / str(number)
        os.mkfifo(began)
        async with worker() as made:
            call = asyncio.create_task(made.call(write_a_large_answer, began, 64))
            await asyncio.to_thread(began.read_bytes)
            process, thread = made._process, made._thread
        assert process is not None
        assert thread is not None
        assert process.exitcode == -signal.SIGKILL
        assert not thread.is_alive()
        with pytest.raises(WorkerDiedError, match="was ended"):
            await call


async def test_a_closed_worker_takes_no_calls_and_can_be_closed_again() -> None:
    for calls in (0, 1):
        made = WorkerProcess("a test")
        for _ in range(calls):
            await made.call(double, 1)
        made.close()
        made.close()
        with pytest.raises(WorkerDiedError, match="was ended"):
            await made.call(double, 1)


async def test_a_childs_libraries_use_as_many_threads_as_it_is_told() -> None:
    for given, limits in ((None, thread_limits(1)), (thread_limits(3), thread_limits(3))):
        async with worker(given) as made:
            found = await made.call(environment)
            assert {name: found[name] for name in limits} == limits


LEFT_OPEN = """
import asyncio
from ecco_emu.host.workers import WorkerProcess
from tests.unit.host.test_workers import double

async def main():
    print(await WorkerProcess("a test").call(double, 4))

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (LEFT_OPEN, 0, "8"),
        (LEFT_OPEN.replace('if __name__ == "__main__":', "if True:"), 1, "if __name__ =="),
    ],
    ids=["never closed", "a script that runs itself again"],
)
def test_the_interpreter_ends(text: str, code: int, said: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(text)
    ran = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    assert said in ran.stdout + ran.stderr
