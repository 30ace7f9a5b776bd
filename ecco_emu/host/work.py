"""Work in other threads and processes, awaited on an event loop: the only way to its results.

On the wall's loops a result is seen as soon as it is there. On a virtual loop it is seen at its due time,
which is the present unless the caller says otherwise: how long the host takes for it must not be seen.
``asyncio.to_thread`` goes the same way there (``VirtualLoop.run_in_executor``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from ecco_emu.host.virtual_time import VirtualLoop

T = TypeVar("T")

_lasts_s: ContextVar[float] = ContextVar("lasts_s", default=0.0)


async def outcome(work: Future[T]) -> T:
    """The result of work, or its error."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop):
        return await loop.outcome(work, loop.time() + _lasts_s.get())
    return await asyncio.wrap_future(work)


@contextmanager
def lasting(virtual_s: float) -> Iterator[None]:
    """Work that is begun in the block takes so long in virtual time. On the wall's loops nothing changes."""
    token = _lasts_s.set(virtual_s)
    try:
        yield
    finally:
        _lasts_s.reset(token)


def monotonic() -> float:
    """Seconds on the clock of the running loop: the wall's monotonic clock, or virtual time.

    Not ``loop.time()``: uvloop's stands still while a callback runs.
    """
    loop = asyncio.get_running_loop()
    return loop.time() if isinstance(loop, VirtualLoop) else time.monotonic()
