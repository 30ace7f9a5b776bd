"""The schedule of a simulated lab: the event loop itself, whose clock is the lab's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from netns.errors import LabError

T = TypeVar("T")


class LoopSchedule:
    """Carries actions out at once, or in a timer of the event loop. To be used on the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: dict[Future[Any], asyncio.TimerHandle] = {}
        self._closed = False

    def now(self) -> float:
        return self._loop.time()

    def call(self, action: Callable[[], T], at: float | None = None) -> Future[T]:
        if self._closed:
            raise LabError("the lab is closed")
        future: Future[T] = Future()
        if at is None:
            _run(action, future)
        else:
            self._due[future] = self._loop.call_at(at, _run, action, future)
            future.add_done_callback(self._forget)
        return future

    def close(self) -> None:
        self._closed = True
        for future in list(self._due):
            future.cancel()

    def _forget(self, future: Future[Any]) -> None:
        # of one that was cancelled, the timer too
        self._due.pop(future).cancel()


def _run(action: Callable[[], T], future: Future[T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = action()
    except BaseException as error:  # the caller that waits for the future gets it
        future.set_exception(error)
        if not isinstance(error, Exception):
            raise
    else:
        future.set_result(result)
