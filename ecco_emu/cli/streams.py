"""Standard output and error: they never end a run, and never decide its exit code.

A reader may go away (``| head``), a disk may be full, an encoding may lack a character. The rest is
written, and the verb goes on to its own exit code.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any, TextIO

from rich.console import Console

# no markup: names of files, cameras and faults may hold brackets and colons, which rich would take for styles
out = Console(markup=False, emoji=False, highlight=False)
err = Console(stderr=True, markup=False, emoji=False, highlight=False)

PLAIN = "ecco-plain"
"""The name of the handler for characters that an encoding lacks."""
_IN_ASCII = {"✓": "+", "✗": "x", "×": "x", "–": "-", "…": "...", "→": "->", "▼": "v", "●": "*", "·": "."}
"""Marks that a reader must still tell apart; anything else becomes a question mark."""


def harden() -> None:
    """Puts hardened streams in the place of the process's own. Streams that a caller has replaced stay."""
    codecs.register_error(PLAIN, _plain)
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        sys.stdout = _hardened(sys.stdout)
    if sys.stderr is sys.__stderr__ and sys.stderr is not None:
        sys.stderr = _hardened(sys.stderr)


class PatientFile(io.FileIO):
    """A file whose writes do not fail. After the first one that cannot be done, all go nowhere."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            # the number stays taken: what the process opens next must not become its output
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes


def _hardened(stream: TextIO) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(PatientFile(stream.fileno(), "wb", closefd=False)),
        encoding=stream.encoding,
        errors=PLAIN,
        line_buffering=stream.isatty() or stream is sys.__stderr__,
    )


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_IN_ASCII.get(letter, "?") for letter in missing), error.end
