"""Running an event loop: on uvloop where it is installed, ended by signals where that is asked for."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on an event loop of its own."""
    with asyncio.Runner(loop_factory=_factory()) as runner:
        return runner.run(coroutine)


def run_until_signalled(coroutine: Coroutine[Any, Any, T]) -> T:
    """As ``run``; Ctrl-C and SIGTERM cancel the coroutine. Raises ``KeyboardInterrupt`` then."""

    async def with_signals() -> T:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        return await coroutine

    try:
        return run(with_signals())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loops, or None for the standard library's."""
    try:
        import uvloop
    except ImportError:
        return None
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return new_event_loop
