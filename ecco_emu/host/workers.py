"""Child processes that hold heavy libraries (torch, Panda3D) and die with their parent.

A worker process carries out calls one after the other. Its state lives in the globals of the module whose
functions are called. It ignores Ctrl-C and the end of the terminal, which the parent handles, and runs at a
lower priority than network and clock. The kernel kills it when the parent dies, even if that was by SIGKILL.

The process and its pipe belong to one thread of the parent. A pool of the standard library is not used: where
its process is ended while it writes a result, the pool's thread, and with it the interpreter, waits for the
rest of the result.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from ecco_emu.core.errors import HostError
from ecco_emu.host.work import outcome

P = ParamSpec("P")
T = TypeVar("T")

_PR_SET_PDEATHSIG = 1
"""prctl(2): a signal for this process when the thread that started it ends."""
_END_S = 5.0
"""A killed process is gone at once, unless a driver holds it in the kernel; ``close`` waits no longer."""


class WorkerDiedError(HostError):
    """A child process died, and its state with it."""


@dataclass(slots=True)
class _Call:
    """A call that waits or is under way."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    future: Future[Any] = field(default_factory=Future)


class WorkerProcess:
    """One warm child process; ``call`` runs module-level functions in it, one after another.

    ``what`` names the process's work in error messages. ``niceness`` and ``environment`` are the child's; its
    numerical libraries use one thread unless the environment says otherwise (``thread_limits``). The process
    starts with the first call.
    """

    def __init__(self, what: str, *, niceness: int = 0, environment: Mapping[str, str] | None = None) -> None:
        self._what = what
        self._niceness = niceness
        self._environment = thread_limits(1) | dict(environment or {})
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._lock = threading.Lock()
        """Held where the three below change, so that no call and no process comes after ``close``."""
        self._thread: threading.Thread | None = None
        self._process: BaseProcess | None = None
        self._closed = False

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs ``function`` in the child. Raises the function's own error, or ``WorkerDiedError``."""
        return await outcome(self.submit(function, *args, **kwargs))

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As ``call``, but does not wait. Raises ``WorkerDiedError`` after ``close``."""
        call = _Call(function, args, kwargs)
        with self._lock:
            if self._closed:
                raise self._ended()
            if self._thread is None:
                # A daemon: whatever happens to the child, the interpreter does not wait for this thread.
                self._thread = threading.Thread(target=self._run, name=f"worker: {self._what}", daemon=True)
                self._thread.start()
                # Registered after multiprocessing's own, which waits for children, and so called before it.
                atexit.register(self.close)
            self._calls.put(call)
        return call.future

    def close(self) -> None:
        """Ends the child at once; calls in progress and calls that wait raise ``WorkerDiedError``.

        May be called more than once, from any thread.
        """
        with self._lock:
            self._closed = True
            process, thread = self._process, self._thread
        atexit.unregister(self.close)
        self._calls.put(None)
        if process is not None:
            process.kill()
        if thread is not None:
            thread.join(_END_S)

    # -- the thread, which owns the process and the pipe --

    def _run(self) -> None:
        """Starts the process, carries out calls until ``close``, and takes the process's end."""
        failure: HostError | None = None
        pipe: Connection | None = None
        try:
            pipe = self._start()
        except HostError as error:
            failure = error
        # After a failure it goes on, and answers each call with it.
        while (call := self._calls.get()) is not None:
            if not call.future.set_running_or_notify_cancel():
                continue
            if pipe is not None and failure is None:
                failure = self._carry_out(call, pipe)
            else:
                call.future.set_exception(failure or self._ended())
            del call  # its arguments and result can be large, and the next call may be long in coming
        if pipe is not None:
            pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def _start(self) -> Connection | None:
        """The pipe to a new process; None after ``close``. It is started by this thread, because the kernel
        ends it with the thread that started it. Raises ``HostError``."""
        # Not "fork": a fork of a process with threads and an event loop can deadlock.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        # Not a daemon in multiprocessing's sense, since those may have no children.
        process = context.Process(
            target=_obey, args=(theirs, os.getpid(), self._niceness, self._environment), name=self._what
        )
        with self._lock:
            if self._closed:
                return None
            try:
                process.start()
            except (OSError, RuntimeError) as error:
                raise HostError(f"the process for {self._what} could not be started: {error}") from error
            self._process = process
        # Only the child may hold its end, or reading would wait for ever after its death.
        theirs.close()
        return ours

    def _carry_out(self, call: _Call, pipe: Connection) -> WorkerDiedError | None:
        """Gives the call its result or its error. Returns the error if it was the process's death."""
        try:
            pipe.send((call.function, call.args, call.kwargs))
            succeeded, answer = pipe.recv()
        except (EOFError, ConnectionError) as error:
            died = self._died()
            died.__cause__ = error
            call.future.set_exception(died)
            return died
        except Exception as error:  # it cannot be pickled, or its result cannot be rebuilt here
            call.future.set_exception(error)
            return None
        if succeeded:
            call.future.set_result(answer)
        else:
            call.future.set_exception(answer)
        return None

    def _died(self) -> WorkerDiedError:
        if self._closed:
            return self._ended()
        return WorkerDiedError(
            f"the process for {self._what} died. If the kernel's log names it, memory ran out: free "
            "some, or make the scenario smaller. In a script of your own, start the run under "
            "`if __name__ == '__main__':`, because the process imports your script"
        )

    def _ended(self) -> WorkerDiedError:
        return WorkerDiedError(f"the process for {self._what} was ended")


def thread_limits(threads: int) -> dict[str, str]:
    """The environment in which numerical libraries use ``threads`` threads.

    They read it when they are loaded. By default they start one for each processor of the host, allowed or
    not.
    """
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))


def run_by_name(module: str, function: str, args: tuple[object, ...]) -> Any:
    """Runs a function of a module that only the child is to import, because it imports heavy libraries."""
    return getattr(importlib.import_module(module), function)(*args)


def settle_child(parent_pid: int, niceness: int, environment: Mapping[str, str]) -> None:
    """Runs first in a child: it leaves Ctrl-C and the terminal's end to its parent, and dies with it."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # the parent died before the line above, so no signal will come
        os._exit(1)
    os.environ.update(environment)
    # Absolute, not relative: the parent may have raised its own priority before it started the child.
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)


def _obey(pipe: Connection, parent_pid: int, niceness: int, environment: Mapping[str, str]) -> None:
    """The whole run of a child: it answers each call with ``(succeeded, result or error)``."""
    settle_child(parent_pid, niceness, environment)
    while True:
        try:
            function, args, kwargs = pipe.recv()
        except EOFError:  # the parent closed the pipe
            return
        except Exception as error:  # such as a module that cannot be imported here
            pipe.send((False, _with_traceback(error)))
            continue
        try:
            answer = True, function(*args, **kwargs)
        except BaseException as error:  # the parent raises it again, and this process goes on
            answer = False, _with_traceback(error)
        try:
            pipe.send(answer)
        except ConnectionError:  # the parent is gone
            return
        except Exception as error:  # it cannot be pickled, of which nothing was sent
            pipe.send((False, _with_traceback(error)))


def _with_traceback(error: BaseException) -> BaseException:
    """The error with its traceback as a note: notes travel through the pipe, tracebacks do not."""
    error.add_note("in the child process:\n" + "".join(traceback.format_exception(error)))
    return error
