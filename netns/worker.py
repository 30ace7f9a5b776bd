"""The lab's own thread: what is called runs there in order, and what is scheduled at its time.

One thread, because namespaces and the relay belong to a thread, and because a change that is due must not
wait for an event loop that somebody keeps busy.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from netns.errors import LabError

T = TypeVar("T")

_PRIORITY = 10
"""Real-time, for what is scheduled: an ordinary thread would be some 30 ms late where all CPUs are busy."""


_Entry = tuple[float, int, bool, Callable[[], Any], Future[Any]]
"""When it is due, the order of calls, whether it was scheduled, what to do, and who waits for it."""


class Worker:
    """A thread with a clock. ``now`` is its time: ``time.monotonic``."""

    def __init__(self, name: str) -> None:
        self._waiting: list[_Entry] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @staticmethod
    def now() -> float:
        """Seconds on the clock that ``call`` takes its times from."""
        return time.monotonic()

    def call(self, action: Callable[[], T], at: float | None = None) -> Future[T]:
        """Runs ``action`` after all that was called before or has become due, or, with ``at``, at that time.

        The future can be cancelled until the action begins. Raises: ``LabError`` after ``close``.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closing:
                raise LabError("the lab is closed")
            due = time.monotonic() if at is None else at
            entry = (due, next(self._numbers), at is not None, action, future)
            heapq.heappush(self._waiting, entry)
            self._changed.notify()
        return future

    def close(self) -> None:
        """Does what was called, drops what was scheduled, and waits until the thread has ended."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        _be_prompt(True)
        while (entry := self._next()) is not None:
            _, _, scheduled, action, future = entry
            if not future.set_running_or_notify_cancel():
                continue
            if not scheduled:  # building is long work, and what it starts must not outrank others
                _be_prompt(False)
            try:
                result = action()
            except BaseException as error:  # whoever waits for the future gets it
                future.set_exception(error)
            else:
                future.set_result(result)
            if not scheduled:
                _be_prompt(True)
            del entry, action, future

    def _next(self) -> _Entry | None:
        with self._changed:
            while True:
                while self._closing and self._waiting and self._waiting[0][2]:
                    heapq.heappop(self._waiting)[-1].cancel()
                if self._closing and not self._waiting:
                    return None
                due = self._waiting[0][0] if self._waiting else None
                if due is not None and due <= time.monotonic():
                    return heapq.heappop(self._waiting)
                self._changed.wait(None if due is None else due - time.monotonic())


def _be_prompt(prompt: bool) -> None:
    # The policy is the thread's own; nothing that it starts inherits it.
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK if prompt else os.SCHED_OTHER
    with contextlib.suppress(OSError):  # without CAP_SYS_NICE it is as late as others
        os.sched_setscheduler(0, policy, os.sched_param(_PRIORITY if prompt else 0))
