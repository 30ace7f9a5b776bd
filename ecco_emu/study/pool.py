"""Calls spread over warm child processes: several at a time, and none waits for another's Python lock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ecco_emu.host.workers import WorkerProcess

T = TypeVar("T")


class Pool:
    """Child processes that die with their parent. Leaving the context ends them, whatever they are doing, so
    a cancelled run is over at once."""

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
        """Calls a module-level ``function`` with every item of ``calls``; ``done`` gets each one's index and
        what it returned, as they end. The calls that run at one time have ``load`` of at most ``capacity``
        together, one that alone has more runs alone. Raises what a call raised, and ends the others."""
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
    """The first call that fits; if nothing runs, the first."""
    if waiting and not busy:
        return waiting[0]
    return next((index for index in waiting if load(index) <= room), None)
