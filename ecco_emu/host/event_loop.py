"""Runs a coroutine on an event loop: uvloop's where it is installed, else the standard library's."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end on an event loop of its own."""
    with asyncio.Runner(loop_factory=_factory()) as runner:
        return runner.run(coroutine)


def run_until_signalled(coroutine: Coroutine[Any, Any, T]) -> T:
    """As ``run``, but Ctrl-C, SIGTERM and SIGHUP cancel the coroutine; ``KeyboardInterrupt`` is raised then.

    Cancelling lets a run close its links and processes and write its last records.
    """

    async def with_signals() -> T:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        # asyncio's runner cancels on Ctrl-C by itself, but not on SIGTERM, which services and CI send, nor on
        # SIGHUP, which the end of a terminal or of an SSH session sends.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # nohup: it is to go on
            loop.add_signal_handler(number, task.cancel)
        return await coroutine

    try:
        return run(with_signals())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Makes uvloop's loops; None for the standard library's."""
    try:
        import uvloop
    except ImportError:
        return None
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return new_event_loop
