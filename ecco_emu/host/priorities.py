"""Which threads go first while a run goes on: packets and timers cannot wait, workers can."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

PRIORITY = -10
"""Niceness of this process while a run goes on."""
REAL_TIME = os.SCHED_RR | os.SCHED_RESET_ON_FORK
"""Of the event loop's thread alone, which sleeps most of the time: with every core busy, an ordinary
thread of any niceness can wait for the next clock tick. Threads and processes it starts do not inherit it."""
SWITCH_INTERVAL_S = 0.001
"""How long a thread may keep the interpreter's lock from the event loop."""


@contextmanager
def raised_priority() -> Iterator[None]:
    """Makes this process outrank its workers, whose work can wait; packets and timers cannot.

    The threads that encode and decode are raised along with the event loop's (on Linux, niceness belongs
    to threads): one that is preempted while it holds the interpreter's lock would hold up the loop.
    """
    thread = threading.get_native_id()
    before = os.getpriority(os.PRIO_PROCESS, thread)
    switch_interval_s = sys.getswitchinterval()
    _outrank_workers()
    with suppress(PermissionError):
        os.sched_setscheduler(thread, REAL_TIME, os.sched_param(1))
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    executor = ThreadPoolExecutor(4, "ecco-emu", initializer=_outrank_workers)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(executor)
    try:
        yield
    finally:
        loop.set_default_executor(ThreadPoolExecutor())  # the loop is the caller's and goes on after the run
        executor.shutdown(wait=False, cancel_futures=True)
        sys.setswitchinterval(switch_interval_s)
        with suppress(PermissionError):
            os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
            os.setpriority(os.PRIO_PROCESS, thread, before)


def _outrank_workers() -> None:
    """Raises the calling thread. Without CAP_SYS_NICE it stays; loop lag will tell whether it mattered."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PRIORITY)
