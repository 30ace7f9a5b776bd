"""Calls spread over warm child processes, so that several run at one time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ecco_emu.host.workers import WorkerProcess

T = TypeVar("T")


class Pool:
    """``size`` child processes; ``what`` names them in errors and logs. An asynchronous context manager: they
    start when it is entered. Leaving it ends them, whatever they are doing, so that a cancelled study is over
    at once.

    Raises ``ValueError`` for a size below one.
    """

    def __init__(self, what: str, size: int, niceness: int = 0) -> None:
        if size < 1:
            raise ValueError("a pool has at least one process")
        self._what = what
        self._size = size
        self._niceness = niceness
        self._workers: list[WorkerProcess] = []

    async def __aenter__(self) -> Pool:
        self._workers = [WorkerProcess(self._what, niceness=self._niceness) for _ in range(self._size)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()

    async def run(
        self,
        function: Callable[..., T],
        calls: Sequence[tuple[Any, ...]],
        done: Callable[[int, T], None],
        *,
        load: Callable[[int], float] = lambda _: 0.0,
        capacity: float = float("inf"),
    ) -> None:
        """Calls ``function``, which must be module-level, with the arguments of each item of ``calls``.

        ``done`` gets a call's index and its result when the call ends. ``load`` gives the load of the call of
        an index, in the unit of ``capacity``: the calls that run at one time have at most ``capacity``
        together. A call whose load alone is more runs alone.

        Raises the exception of a call that fails, and cancels the other calls.
        """
        waiting = list(range(len(calls)))
        idle = list(self._workers)
        running: dict[asyncio.Task[T], tuple[int, WorkerProcess]] = {}
        try:
            while waiting or running:
                taken = sum(load(index) for index, _ in running.values())
                while idle and (index := _next(waiting, load, capacity - taken, bool(running))) is not None:
                    waiting.remove(index)
                    taken += load(index)
                    worker = idle.pop()
                    task = asyncio.create_task(worker.call(function, *calls[index]))
                    running[task] = index, worker
                ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    index, worker = running.pop(task)
                    idle.append(worker)
                    done(index, task.result())
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


def _next(waiting: Sequence[int], load: Callable[[int], float], room: float, busy: bool) -> int | None:
    """The first waiting call that fits into ``room``. With nothing running, the first of all: a call that is
    larger than the capacity would otherwise wait for ever."""
    if waiting and not busy:
        return waiting[0]
    return next((index for index in waiting if load(index) <= room), None)
