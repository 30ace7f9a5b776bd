"""An asyncio event loop in virtual time: its clock stands still while something runs, and jumps when nothing
does.

All that runs on it is unchanged asyncio code. ``loop.time`` begins at 0 and jumps to the next timer as soon
as no callback is ready. Work in threads and processes has a due time: the clock may run on to it and not past
it, and its result is seen then, neither sooner nor later (``host.work``). So what happens on the loop is a
function of what is put on it, and does not depend on how fast the host is.

Everything has one order. Timers at equal times run in the order in which they were set, results of work among
them, and the loop settles in between: all that one of them set off runs before the next. Tasks have hashes
that count them, so that a set of tasks has an order too; a task group cancels in it.

The loop has no sockets, pipes or signals. Other threads reach it by ``call_soon_threadsafe``.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import Context, ContextVar
from types import FrameType
from typing import Any, NoReturn, TypeVar

from ecco_emu.core.errors import EccoError

T = TypeVar("T")

_MOST_TOLD = 8
"""Waiting tasks that a message names."""
_background: ContextVar[bool] = ContextVar("background", default=False)


class NothingLeftError(EccoError):
    """Nothing can happen on the loop any more, but something waits."""


class WallSleepError(EccoError):
    """Code on the loop slept on the wall's clock, which stops virtual time and says nothing to it."""


async def in_background(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine that goes on for ever and sets nothing off, such as a meter.

    On a virtual loop its timers keep nobody waiting: where only such timers are left, nothing can happen any
    more. Await it in a task of its own.
    """
    _background.set(True)
    return await coroutine


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module. It is made and used as other loops: ``asyncio.Runner(loop_factory=VirtualLoop)``."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._timers: list[tuple[float, int, _Timer]] = []
        """A heap by time and number."""
        self._numbers = itertools.count()
        self._task_numbers = itertools.count()
        self._ahead = 0
        """Timers that are set and not in the background."""
        self._outside: deque[asyncio.Handle] = deque()
        """Callbacks that other threads have handed over."""
        self._changed = threading.Condition()
        self._threads: ThreadPoolExecutor | None = None
        self.may_advance: Callable[[], bool] = _always
        """Asked before the clock jumps. While it says no, timers that are due now run all the same."""
        self.horizon_s = math.inf
        """The clock does not jump past this time: that everything has an end by then is up to the caller."""
        self.turn = 0
        """Counts callbacks, so that another thread sees that the loop goes on."""
        self.in_callback = False
        self.set_task_factory(_ordered_task)

    # -- asyncio's interface --

    def time(self) -> float:
        return self._now

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self._check_closed()  # type: ignore[attr-defined]
        timer = _Timer(max(when, self._now), next(self._numbers), callback, args, self, context)
        self._set(timer)
        return timer

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        if threading.get_ident() == self._thread_id:  # type: ignore[attr-defined]
            return self.call_soon(callback, *args, context=context)
        self._check_closed()  # type: ignore[attr-defined]
        handle = asyncio.Handle(callback, args, self, context)
        with self._changed:
            self._outside.append(handle)
            self._changed.notify()
        return handle

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Work that is due now: the clock stands until it is done."""
        self._check_closed()  # type: ignore[attr-defined]
        if executor is None:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(thread_name_prefix="virtual")
            executor = self._threads
        return self.outcome(executor.submit(func, *args), self._now)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=True)

    def close(self) -> None:
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        self._timers.clear()
        super().close()

    # -- work that other threads and processes do --

    def outcome(self, work: Future[T], due: float) -> asyncio.Future[T]:
        """The result of work, to be seen at ``due`` exactly. The clock does not run past ``due`` before.

        A later result waits for an earlier one. Work whose result nobody awaits any more is finished all the
        same, so that the state of whoever does it does not depend on how far it had come.
        """
        awaited: asyncio.Future[T] = self.create_future()
        timer = _Timer(max(due, self._now), next(self._numbers), _hand_over, (work, awaited), self, None)
        timer.work = work
        self._set(timer)
        awaited.add_done_callback(lambda done: timer.cancel() if done.cancelled() else None)
        work.add_done_callback(lambda _: self._notify())
        return awaited

    # -- the loop --

    def _run_once(self) -> None:
        ready = self._ready  # type: ignore[attr-defined]
        if not ready:
            self._await_something()
        self.in_callback = True
        try:
            # those that are ready now, and no others: a callback may make more ready for ever
            for _ in range(len(ready)):
                handle = ready.popleft()
                if not handle._cancelled:
                    self.turn += 1
                    handle._run()
        finally:
            self.in_callback = False
        handle = None  # it would keep its callback alive while the loop waits

    def _await_something(self) -> None:
        """Returns when a callback is ready, or the loop is to stop. Puts the clock forward if it must."""
        ready = self._ready  # type: ignore[attr-defined]
        while not self._stopping:  # type: ignore[attr-defined]
            if not self._outside and (timer := self._take_timer()) is not None:
                ready.append(timer)
                return
            with self._changed:
                if not self._outside and not self._can_go_on():
                    self._changed.wait()
                ready.extend(self._outside)
                self._outside.clear()
            if ready:
                return

    def _take_timer(self) -> _Timer | None:
        """Takes the next timer out and puts the clock forward to it. None if there is none that may run."""
        timer = self._next_timer()
        if timer is None or timer.at > self._now:
            if not self.may_advance():
                return None
            if not self._ahead:
                self._nothing_left()
            assert timer is not None
            if timer.at > self.horizon_s:
                self._past_horizon()
        if not timer.done:
            return None
        heapq.heappop(self._timers)
        self._unset(timer)
        self._now = timer.at
        return timer

    def _can_go_on(self) -> bool:
        """Whether the next timer may run. Asked under the lock, since work may have been done meanwhile."""
        timer = self._next_timer()
        return timer is not None and timer.done and (timer.at <= self._now or self.may_advance())

    def _next_timer(self) -> _Timer | None:
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        return timers[0][2] if timers else None

    def _set(self, timer: _Timer) -> None:
        heapq.heappush(self._timers, (timer.at, timer.number, timer))
        timer._scheduled = True  # type: ignore[attr-defined]
        timer.ahead = not timer._context.get(_background, False)  # type: ignore[attr-defined]
        self._ahead += timer.ahead

    def _unset(self, timer: _Timer) -> None:
        timer._scheduled = False  # type: ignore[attr-defined]
        self._ahead -= timer.ahead

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        assert isinstance(handle, _Timer)
        if handle._scheduled:  # type: ignore[attr-defined]  # not one that has run already
            self._unset(handle)

    def _write_to_self(self) -> None:
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify()

    def _process_events(self, event_list: object) -> None:
        raise AssertionError("there is nothing to be selected from")

    # -- the end of it --

    def _nothing_left(self) -> NoReturn:
        raise NothingLeftError(
            f"at {self._now:g} s nothing can happen any more; waiting for {self._waiting()}"
        )

    def _past_horizon(self) -> NoReturn:
        raise NothingLeftError(
            f"it should have ended by {self.horizon_s:g} s, but it goes on; waiting for {self._waiting()}"
        )

    def _waiting(self) -> str:
        """The tasks that wait, each with the line at which it does. Those in the background are left out."""
        tasks = sorted(
            (task for task in asyncio.all_tasks(self) if isinstance(task, _OrderedTask)),
            key=lambda task: task.number,
        )
        told = [f"{task.get_name()} ({_where(task)})" for task in tasks if not _in_background(task)]
        more = f" and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
        return (", ".join(told[:_MOST_TOLD]) or "nobody") + more


def _always() -> bool:
    return True


class _Timer(asyncio.TimerHandle):
    """A timer. Its number gives timers at equal times an order."""

    __slots__ = ("ahead", "at", "number", "work")

    def __init__(
        self,
        when: float,
        number: int,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        loop: VirtualLoop,
        context: Context | None,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.at = when
        self.number = number
        self.ahead = False
        """Whether it counts for the question of whether anything can still happen."""
        self.work: Future[Any] | None = None
        """Work whose result it hands over."""

    @property
    def done(self) -> bool:
        return self.work is None or self.work.done()

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class _OrderedTask(asyncio.Task[Any]):
    """A task whose hash counts the loop's tasks: sets of tasks then have the same order in every run."""

    def __init__(self, coroutine: Any, *, number: int, **options: Any) -> None:
        self.number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


def _ordered_task(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, T] | Generator[Any, None, T],
    **options: Any,
) -> asyncio.Future[T]:
    assert isinstance(loop, VirtualLoop)
    return _OrderedTask(coroutine, number=next(loop._task_numbers), loop=loop, **options)


def _hand_over(work: Future[T], awaited: asyncio.Future[T]) -> None:
    if awaited.done():
        return
    if work.cancelled():
        awaited.cancel()
    elif (error := work.exception()) is not None:
        awaited.set_exception(error)
    else:
        awaited.set_result(work.result())


def _in_background(task: asyncio.Task[Any]) -> bool:
    # Python 3.11 has no way to a task's context
    stack = task.get_stack()
    return bool(stack) and stack[0].f_code is in_background.__code__


def _where(task: asyncio.Task[Any]) -> str:
    """The innermost line at which a task waits, asyncio's own left out: function, file and line."""
    frame: FrameType | None = None
    awaited: Any = task.get_coro()
    while awaited is not None:
        inner = getattr(awaited, "cr_frame", None)
        if inner is not None and not inner.f_globals.get("__name__", "").startswith("asyncio."):
            frame = inner
        awaited = getattr(awaited, "cr_await", None)
    if frame is None:
        return "not begun"
    code = frame.f_code
    return f"{code.co_qualname}, {code.co_filename.rsplit('/', 1)[-1]}:{frame.f_lineno}"
