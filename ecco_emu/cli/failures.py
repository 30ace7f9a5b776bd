"""Turns every error into one line and an exit code: the one place where that is decided.

| error | code |
|---|---|
| ``ScenarioError``, ``HostError`` | 2, 3 |
| of the file system or kernel, about a file that was named | 2: the path is wrong, or not permitted |
| of the file system or kernel otherwise, such as a full disk | 3: this host cannot |
| Ctrl-C | 130 |
| any other: a fault in this program | 70, and its traceback is kept |
"""

from __future__ import annotations

import errno
import os
import tempfile
import traceback

from rich.text import Text

from ecco_emu.cli.streams import err
from ecco_emu.core.errors import EccoError, HostError, ScenarioError
from ecco_emu.scenario.problems import InvalidScenario

INTERRUPTED = 130
INTERNAL = EccoError.exit_code
"""70, EX_SOFTWARE of sysexits.h: never mistaken for a verdict on a run."""
DEBUG = "ECCO_EMU_DEBUG"
"""With this variable set, tracebacks are printed, of every error."""
_OF_THE_HOST = frozenset(
    {
        errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EAGAIN,
        errno.EPIPE,
    }
)  # fmt: skip
"""Errors that are not the path's fault, though they may name one."""


def report(error: BaseException) -> int:
    """Says on standard error what went wrong, and returns the exit code."""
    error = cause(error)
    if os.environ.get(DEBUG):
        err.print("".join(traceback.format_exception(error)), end="", soft_wrap=True)
    if isinstance(error, KeyboardInterrupt):
        err.print("interrupted; everything was cleaned up")
        return INTERRUPTED
    ours = as_ours(error)
    if ours is None:
        return _report_internal(error)
    for line in map(str, ours.problems) if isinstance(ours, InvalidScenario) else [str(ours)]:
        err.print(Text.assemble(("error:", "bold red"), " ", line), soft_wrap=True)
    return ours.exit_code


def cause(error: BaseException) -> BaseException:
    """The error itself or, of a group of tasks that failed together, the one that says most."""
    leaves = list(_leaves(error))
    return next((each for each in leaves if as_ours(each) is not None), leaves[0])


def as_ours(error: BaseException) -> EccoError | None:
    """The error as the input's fault or the host's; None for a fault of this program."""
    if isinstance(error, EccoError):
        return error if error.exit_code != INTERNAL else None
    if isinstance(error, MemoryError):
        return HostError("this host has too little memory for it")
    if isinstance(error, OSError):
        return _of_system(error)
    from netns import LabError

    return HostError(str(error)) if isinstance(error, LabError) else None


def _of_system(error: OSError) -> EccoError:
    said = error.strerror or str(error) or type(error).__name__
    text = f"{_path(error.filename)}: {said}" if error.filename is not None else said
    named = error.filename is not None and error.errno not in _OF_THE_HOST
    return ScenarioError(text) if named else HostError(text)


def _path(name: object) -> str:
    """A long one is cut: the message must stay one line that can be read."""
    text = os.fsdecode(name) if isinstance(name, (str, bytes)) else str(name)
    return text if len(text) <= 120 else f"{text[:60]}…{text[-40:]}"


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for each in error.exceptions for leaf in _leaves(each)]


def _report_internal(error: BaseException) -> int:
    whole = "".join(traceback.format_exception(error))
    said = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
    try:
        number, path = tempfile.mkstemp(prefix="ecco-emu-", suffix=".traceback")
        with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(whole)
        where = f"its traceback is in {path}"
    except OSError:
        where = f"set {DEBUG}=1 to see its traceback"
    err.print(
        Text.assemble(("internal error:", "bold red"), f" {said} (a fault in ecco-emu; {where})"),
        soft_wrap=True,
    )
    return INTERNAL
