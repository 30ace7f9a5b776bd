"""The lab's own thread. It runs calls in the order in which they were made, and scheduled actions at their
time.

There is one thread for everything: a namespace is a property of a thread, and the kernel ends the relay
process when the thread that started it ends. It is not the event loop's thread, because a change that is due
must not wait for a loop that is busy with something else.
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
"""SCHED_FIFO priority for scheduled actions. An ordinary thread would be some 30 ms late where all CPUs are
busy. It is below the relay's 50, so that packets do not wait for a change."""


_Entry = tuple[float, int, bool, Callable[[], Any], Future[Any]]
"""The time at which it is due, its number in the order of calls, True if it was scheduled, the action, and
the future of its result. The number is unique, so that the heap never compares two actions."""


class LabThread:
    """A thread with a clock. ``now`` is its time: ``time.monotonic``, in seconds."""

    def __init__(self, name: str) -> None:
        self._waiting: list[_Entry] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @staticmethod
    def now() -> float:
        """The time in seconds, on the clock that the ``at`` of ``call`` refers to."""
        return time.monotonic()

    def call(self, action: Callable[[], T], at: float | None = None) -> Future[T]:
        """Runs ``action`` at the time ``at``. Without it, ``action`` runs after everything that was called
        earlier or is already due.

        The future can be cancelled until the action begins. Raises: ``LabError`` after ``close``.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closing:
                raise LabError("the lab is closed")
            # A plain call is due now, so the one heap keeps both orders: that of times and that of calls.
            due = time.monotonic() if at is None else at
            entry = (due, next(self._numbers), at is not None, action, future)
            heapq.heappush(self._waiting, entry)
            self._changed.notify()
        return future

    def close(self) -> None:
        """Runs the calls that wait, cancels the scheduled actions, and returns when the thread has ended."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        # Real time already while it waits: it is the waking up that must not be late.
        _be_prompt(True)
        while (entry := self._next()) is not None:
            _, _, scheduled, action, future = entry
            if not future.set_running_or_notify_cancel():
                continue
            # Calls are long work, such as building: they must not take the CPU from others, nor may a process
            # that they start.
            if not scheduled:
                _be_prompt(False)
            try:
                result = action()
            except BaseException as error:  # the caller that waits for the future gets it
                future.set_exception(error)
            else:
                future.set_result(result)
            if not scheduled:
                _be_prompt(True)
            # These variables would otherwise keep the result (a socket) alive until the next entry comes.
            del entry, action, future

    def _next(self) -> _Entry | None:
        with self._changed:
            while True:
                # Looked at in every turn, because a plain call may be first and scheduled ones come after it.
                while self._closing and self._waiting and self._waiting[0][2]:
                    heapq.heappop(self._waiting)[-1].cancel()
                if self._closing and not self._waiting:
                    return None
                due = self._waiting[0][0] if self._waiting else None
                if due is not None and due <= time.monotonic():
                    return heapq.heappop(self._waiting)
                self._changed.wait(None if due is None else due - time.monotonic())


def _be_prompt(prompt: bool) -> None:
    # On Linux this sets the policy of the calling thread only, and RESET_ON_FORK keeps it from its children.
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK if prompt else os.SCHED_OTHER
    with contextlib.suppress(OSError):  # without CAP_SYS_NICE it is as late as any other thread
        os.sched_setscheduler(0, policy, os.sched_param(_PRIORITY if prompt else 0))
