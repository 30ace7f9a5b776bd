"""A virtual event loop in a thread of its own, driven from another event loop.

Virtual time passes only while somebody outside awaits a ``call``. When its coroutine ends, the clock stands
still at that very moment. So a script that awaits one thing after the other acts at the same virtual times in
every run, however long it takes in between.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from typing import Any, SupportsIndex, TypeVar

from ecco_emu.core.errors import EccoError
from ecco_emu.host.virtual_time import VirtualLoop, WallSleepError

T = TypeVar("T")

PATIENCE_S = 60.0
"""Wall time after which a callback that has not returned is taken for one that never will."""
_LOOK_EVERY_S = 0.5
_END_S = 5.0
"""Wall time that ``close`` waits for the thread; one that is stuck is left behind."""


class StuckCallbackError(EccoError):
    """A callback on the loop did not return control."""


class LoopThread:
    """The loop and its thread. ``patience_s``: the wall time that one callback may take (``PATIENCE_S``)."""

    def __init__(self, name: str, *, patience_s: float | None = None) -> None:
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self._calls: set[Future[Any]] = set()
        self._outstanding = 0
        self._failure: BaseException | None = None
        self._stuck = False
        """A callback could not be interrupted: nothing can be done on the loop any more."""
        self._loop = VirtualLoop()
        self._loop.may_advance = lambda: self._outstanding > 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._watchdog = threading.Thread(target=self._watch, name=f"{name}: watchdog", daemon=True)
        self._watchdog.start()

    @property
    def loop(self) -> VirtualLoop:
        return self._loop

    @property
    def failure(self) -> BaseException | None:
        """The error by which the loop itself came to an end, if it did. What is left can be cleaned up."""
        return self._failure

    async def call(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs the coroutine on the loop while time passes there, and returns its result.

        Where the caller is cancelled, the coroutine is, and this returns when it has ended. Raises
        ``EccoError`` when nothing can happen on the loop any more or one of its callbacks does not return.
        """
        if self._stuck and self._failure is not None:
            raise self._failure
        answer: Future[T] = Future()
        tasks: list[asyncio.Task[T]] = []
        self._calls.add(answer)

        def begin() -> None:
            self._outstanding += 1
            task = self._loop.create_task(function())
            tasks.append(task)
            task.add_done_callback(end)

        def end(task: asyncio.Task[T]) -> None:
            self._outstanding -= 1
            self._calls.discard(answer)
            _settle(answer, task, self._failure)

        def cancel() -> None:
            for task in tasks:
                task.cancel()

        self._loop.call_soon_threadsafe(begin)
        waiting = asyncio.wrap_future(answer)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if not waiting.done():
                self._loop.call_soon_threadsafe(cancel)
            while not waiting.done():  # whatever else comes meanwhile, the coroutine cleans up first
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({waiting})
            if not waiting.cancelled():
                waiting.exception()  # it has been looked at
            raise

    async def close(self) -> None:
        """Cancels all that is left on the loop, and ends the thread. May be called more than once."""
        self._closing.set()
        if not self._loop.is_closed() and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, _END_S)

    # -- the loop's thread --

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with _sleepless_thread(), closing(self._loop):
            while not self._closing.is_set():
                try:
                    self._loop.run_forever()
                except Exception as error:  # of the loop itself, not of a callback: nothing goes on
                    self._fail(error)
            self._finish()

    def _finish(self) -> None:
        """Cancels all tasks, in the order in which they were made, and lets them end."""
        loop = self._loop
        loop.may_advance = lambda: True
        left = sorted(asyncio.all_tasks(loop), key=hash)
        for task in left:
            task.cancel()
        try:
            if left:
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        except Exception:  # it is closed all the same
            return

    def _fail(self, error: BaseException) -> None:
        """Ends all calls that wait with an error."""
        self._failure = error
        for answer in list(self._calls):
            if not answer.done():
                answer.set_exception(error)
        self._calls.clear()
        # those who come to clean up must be able to
        for task in sorted(asyncio.all_tasks(self._loop), key=hash):
            task.cancel()
        self._loop.horizon_s = float("inf")

    # -- the watchdog's thread: it reads the wall's clock, and decides nothing but that it is over --

    def _watch(self) -> None:
        seen, since = -1, time.monotonic()
        while not self._closing.wait(_LOOK_EVERY_S):
            turn, now = self._loop.turn, time.monotonic()
            if not self._loop.in_callback or turn != seen:
                seen, since = turn, now
            elif now - since > self._patience_s:
                self._interrupt()
                return

    def _interrupt(self) -> None:
        """Ends a callback that does not return, if it runs Python, and tells who waits for it in any case."""
        ident = self._thread.ident
        frame = sys._current_frames().get(ident or 0)
        where = "".join(traceback.format_stack(frame)[-3:]) if frame is not None else "unknown\n"
        self._failure = StuckCallbackError(
            f"a callback has not returned control for {self._patience_s:g} s; it is here:\n{where.rstrip()}\n"
            "Work that takes long belongs into a thread: `await asyncio.to_thread(...)`"
        )
        turn = self._loop.turn
        waiting = list(self._calls)  # not those that come to clean up
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(ident or 0), ctypes.py_object(StuckCallbackError)
        )
        # whoever waits for it cleans up next, for which the loop should be free again
        until = time.monotonic() + _END_S
        while self._loop.turn == turn and self._loop.in_callback and time.monotonic() < until:
            self._closing.wait(_LOOK_EVERY_S)
        self._stuck = self._loop.turn == turn and self._loop.in_callback
        for answer in waiting:
            if not answer.done():
                answer.set_exception(self._failure)


def _settle(answer: Future[T], task: asyncio.Task[T], failure: BaseException | None) -> None:
    if answer.done():  # it was failed meanwhile
        if not task.cancelled():
            task.exception()  # it has been looked at
        return
    if task.cancelled():
        answer.cancel()
        answer.set_running_or_notify_cancel()
    elif (error := task.exception()) is not None:
        # an interrupted callback gets the kind of error only, without its words
        answer.set_exception(failure if failure is not None and type(failure) is type(error) else error)
    else:
        answer.set_result(task.result())


# -- code that sleeps on the wall's clock --

_sleepless: set[int] = set()
"""Threads in which ``time.sleep`` is an error."""
_sleep = time.sleep


@contextmanager
def _sleepless_thread() -> Iterator[None]:
    """``time.sleep`` is an error in this thread for the time of the block."""
    # Python tells its audit hooks of sleeps from version 3.13 on only. Other threads sleep as before.
    _sleepless.add(threading.get_ident())
    time.sleep = _guarded_sleep
    try:
        yield
    finally:
        _sleepless.discard(threading.get_ident())
        if not _sleepless:
            time.sleep = _sleep


def _guarded_sleep(seconds: float | SupportsIndex, /) -> None:
    if threading.get_ident() not in _sleepless:
        return _sleep(seconds)
    frame = sys._getframe(1)
    code = frame.f_code
    raise WallSleepError(
        f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno}) calls time.sleep in a simulated run, "
        "where the clock stands still meanwhile: write `await asyncio.sleep(...)`"
    )
