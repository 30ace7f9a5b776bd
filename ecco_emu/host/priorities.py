"""Scheduling priorities during a run: packets and timers cannot wait, the work of worker processes can."""

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
"""Scheduling class of the event loop's thread alone, which sleeps most of the time. When all cores are busy,
an ordinary thread of any niceness may have to wait for the next tick of the kernel's clock. Threads and
processes that this one starts do not inherit the class."""
SWITCH_INTERVAL_S = 0.001
"""The longest that another thread may keep the interpreter's lock while the event loop waits for it. Python's
default is 5 ms."""


@contextmanager
def raised_priority() -> Iterator[None]:
    """Gives this process a higher priority than its workers; its priorities are restored at the end.

    The event loop's default executor is replaced for that time. Without CAP_SYS_NICE the priorities stay as
    they are, and the loop's lag shows whether that mattered.
    """
    thread = threading.get_native_id()
    before = os.getpriority(os.PRIO_PROCESS, thread)
    switch_interval_s = sys.getswitchinterval()
    _raise_this_thread()
    with suppress(PermissionError):
        os.sched_setscheduler(thread, REAL_TIME, os.sched_param(1))
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # On Linux niceness belongs to threads. The threads that encode and decode are raised too: one that is
    # preempted while it holds the interpreter's lock would hold up the event loop.
    executor = ThreadPoolExecutor(4, "ecco-emu", initializer=_raise_this_thread)
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


def _raise_this_thread() -> None:
    """Raises the calling thread's priority, if this process may."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PRIORITY)
