"""Child processes that hold heavy libraries (torch, Panda3D) and die with their parent.

A worker process is the standard library's ``ProcessPoolExecutor`` with one warm process. Its state lives in
the globals of the module whose functions are submitted to it. It ignores Ctrl-C, which the parent
handles, and runs at a lower priority than network and clock. The kernel kills it when the parent dies, even
if that was by SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, ParamSpec, TypeVar

from ecco_emu.core.errors import HostError

P = ParamSpec("P")
T = TypeVar("T")

_PR_SET_PDEATHSIG = 1
"""prctl(2): a signal for this process when its parent ends."""


class WorkerDiedError(HostError):
    """A child process died, and its state with it."""


class WorkerProcess:
    """One warm child process; ``call`` runs module-level functions in it, one after another.

    ``what`` names the process's work in error messages. ``niceness`` and ``environment`` are the child's.
    """

    def __init__(self, what: str, *, niceness: int = 0, environment: dict[str, str] | None = None) -> None:
        self._what = what
        self._executor = ProcessPoolExecutor(
            max_workers=1,
            # Not "fork": a fork of a process with threads and an event loop can deadlock.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=settle_child,
            initargs=(os.getpid(), niceness, dict(environment or {})),
        )

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs ``function`` in the child. Raises the function's own error, or ``WorkerDiedError``."""
        try:
            future = self._executor.submit(function, *args, **kwargs)
            return await asyncio.wrap_future(future)
        except BrokenProcessPool as error:
            raise WorkerDiedError(
                f"the process for {self._what} died. If the kernel's log names it, memory ran out: free "
                "some, or make the scenario smaller. In a script of your own, start the run under "
                "`if __name__ == '__main__':`, because the process imports your script"
            ) from error

    def close(self) -> None:
        """Ends the child at once; a call in progress is abandoned."""
        # The executor cannot end a call in progress, so its process is terminated. The process is private to
        # the executor and forgotten by ``shutdown``, so it is read before.
        processes = list((self._executor._processes or {}).values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()
                process.join(timeout=5)


def run_by_name(module: str, function: str, args: tuple[object, ...]) -> Any:
    """Runs a function of a module that only the child is to import, because it imports heavy libraries."""
    return getattr(importlib.import_module(module), function)(*args)


def settle_child(parent_pid: int, niceness: int, environment: dict[str, str]) -> None:
    """Runs first in a child: it ignores Ctrl-C, and it dies with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # the parent died before the line above, so no signal will come
        os._exit(1)
    os.environ.update(environment)
    # Absolute, not relative: the parent may have raised its own priority before it started the child.
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
