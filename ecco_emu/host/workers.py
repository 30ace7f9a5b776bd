"""Child processes that hold heavy libraries (torch, Panda3D) and die with their parent.

A worker process is the standard library's ``ProcessPoolExecutor`` with one warm process. Its state lives in
the globals of the module whose functions are submitted to it. It ignores Ctrl-C, which belongs to the parent,
and runs at a lower priority than network and clock. The kernel kills it when the parent dies, by SIGKILL too.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

from ecco_emu.core.errors import HostError

P = ParamSpec("P")
T = TypeVar("T")

_PR_SET_PDEATHSIG = 1


class WorkerDiedError(HostError):
    """A child process is gone, and with it what it held."""


class WorkerProcess:
    """One warm child process; ``call`` runs a module-level function in it, in order of calling."""

    def __init__(self, what: str, *, niceness: int = 0, environment: dict[str, str] | None = None) -> None:
        self._what = what
        self._executor = ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=settle_child,
            initargs=(os.getpid(), niceness, dict(environment or {})),
        )

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs ``function`` in the child. Raises what it raised, or ``WorkerDiedError``."""
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
        processes = list((self._executor._processes or {}).values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()
                process.join(timeout=5)


def settle_child(parent_pid: int, niceness: int, environment: dict[str, str]) -> None:
    """First thing in a child: Ctrl-C is the parent's, and the parent's death is the child's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # the parent died before the line above took effect
        os._exit(1)
    os.environ.update(environment)
    # Absolute, not relative: the parent may have raised its own priority before it started the child.
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
