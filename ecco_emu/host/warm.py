"""Worker processes that outlive the run for which they were started, so that the next run starts sooner.

Importing torch is most of a run's start. ``WarmWorkers`` keeps the processes of runs that are over, with
their imports, and hands them to later runs that ask for the same kind. Their state is not reset here: the
first call of whoever opens a worker makes it anew (``training_worker.start``, ``child.open_town``).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FrameType
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from ecco_emu.host.workers import WorkerDiedError, WorkerProcess

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE_S = 5.0
"""A kept process that has not given up its last user's call after so long is replaced."""
_ASK_AGAIN_S = 0.1
_ABANDON = signal.SIGUSR1

_Kind = tuple[str, int, tuple[tuple[str, str], ...]]
"""Name, niceness and environment: processes in which these are equal can stand for each other."""


class Worker(Protocol):
    """A child process that carries out calls one after another."""

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs ``function`` in the child. Raises the function's own error, or ``WorkerDiedError``."""
        ...

    def close(self) -> None:
        """Gives the child up at once; a call in progress is abandoned."""
        ...


class OpenWorker(Protocol):
    """Makes a worker: ``WorkerProcess`` itself, or ``WarmWorkers.open``, which may have one."""

    def __call__(
        self, what: str, *, niceness: int = 0, environment: dict[str, str] | None = None
    ) -> Worker: ...


class WarmWorkers:
    """Keeps the processes of runs that are over for runs to come. Close it when no more will come, or use it
    as a context manager.

    The processes keep their memory meanwhile: about a gigabyte for those of one run.
    """

    def __init__(self) -> None:
        self._all: list[_Process] = []
        self._idle: dict[_Kind, list[_Process]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> set[int]:
        """Of all processes, those in use and those that wait."""
        return {process.pid for process in self._all if process.pid is not None}

    def open(self, what: str, *, niceness: int = 0, environment: dict[str, str] | None = None) -> WarmWorker:
        """A kept process of this kind, or a new one. The arguments are those of ``WorkerProcess``."""
        return WarmWorker(self, (what, niceness, tuple(sorted((environment or {}).items()))))

    def close(self) -> None:
        """Ends all processes, those in use too."""
        for process in self._all:
            process.close()
        self._all.clear()
        self._idle.clear()

    async def _take(self, kind: _Kind) -> _Process:
        """A process of this kind that waits for calls."""
        idle = self._idle.get(kind, [])
        with suppress(IndexError):  # not asked beforehand: runs in other threads take from it too
            while True:
                kept = idle.pop()
                if await kept.gave_up():
                    return kept
                self._end(kept)
        fresh = _Process(kind)
        self._all.append(fresh)
        try:
            await fresh.begin()
        except BaseException:  # cancelled while it started: it is of no use half made
            self._end(fresh)
            raise
        return fresh

    def _give_back(self, kind: _Kind, process: _Process) -> None:
        if process in self._all:
            process.abandon()
            self._idle.setdefault(kind, []).append(process)

    def _end(self, process: _Process) -> None:
        process.close()
        with suppress(ValueError):  # all were closed meanwhile
            self._all.remove(process)


class WarmWorker:
    """A process of ``WarmWorkers`` in one user's hands, from the first call until ``close``."""

    def __init__(self, home: WarmWorkers, kind: _Kind) -> None:
        self._home = home
        self._kind = kind
        self._process: _Process | None = None
        self._taking = asyncio.Lock()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs ``function`` in the child. Raises the function's own error, or ``WorkerDiedError``."""
        if self._process is None:
            async with self._taking:
                if self._process is None:
                    self._process = await self._home._take(self._kind)
        return await self._process.worker.call(carry_out, function, args, kwargs)

    def close(self) -> None:
        """Gives the process back. A call in progress is abandoned. May be called more than once."""
        process, self._process = self._process, None
        if process is not None:
            self._home._give_back(self._kind, process)


class _Process:
    """A process and its handle, by which its call in progress can be abandoned."""

    def __init__(self, kind: _Kind) -> None:
        what, niceness, environment = kind
        self.worker = WorkerProcess(what, niceness=niceness, environment=dict(environment))
        self.pid: int | None = None
        self._handle: int | None = None

    async def begin(self) -> None:
        self.pid = await self.worker.call(make_abandonable)
        # a handle instead of the number, which may be another process's by the time of the signal
        self._handle = os.pidfd_open(self.pid)

    def abandon(self) -> None:
        """Asks the process to give up the call that it carries out, if it carries out one."""
        if self._handle is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, _ABANDON)

    async def gave_up(self) -> bool:
        """Whether the process is free, at once or soon. False if it is dead or does not answer."""
        return await asyncio.to_thread(self._gives_up)

    def _gives_up(self) -> bool:
        until = time.monotonic() + PATIENCE_S
        try:
            answer = self.worker.submit(os.getpid)
            while time.monotonic() < until:
                # again and again: calls that were waiting behind the abandoned one begin after it
                self.abandon()
                with suppress(TimeoutError):
                    return answer.result(_ASK_AGAIN_S) == self.pid
            answer.cancel()
        except WorkerDiedError:
            pass
        return False

    def close(self) -> None:
        self.worker.close()
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


# -- in the child --


class AbandonedError(BaseException):
    """Ends a call that nobody waits for any more. Like Ctrl-C it is no error that a call may handle."""


_working = False
"""Whether the child carries out a call. Between calls a signal must end nothing."""


def make_abandonable() -> int:
    """Prepares the child; returns its process id."""
    signal.signal(_ABANDON, _abandon)
    return os.getpid()


def carry_out(function: Callable[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
    """Runs a call that can be abandoned."""
    global _working
    try:
        _working = True
        return function(*args, **kwargs)
    finally:
        _working = False


def _abandon(_: int, frame: FrameType | None) -> None:
    global _working
    if not _working or _imports(frame):
        return
    _working = False
    raise AbandonedError


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported, which would be left half made: then the parent asks again."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
