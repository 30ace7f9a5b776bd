"""Results as JSON lines: each is on disk as soon as it is known, and an interrupted study goes on from its
file.

A record is any type that ``msgspec`` encodes and decodes, such as a dataclass or a ``msgspec.Struct``. The
names of its fields are the file's format. A field that the type does not have is ignored when a file is read;
a field that the file lacks takes its default. So a file of an older version stays readable as long as new
fields have defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Generic, TypeVar

import msgspec

from ecco_emu.core.errors import ScenarioError

R = TypeVar("R")
"""A type of records."""
W = TypeVar("W", bound=Hashable)
"""A type of the things to be measured."""


def load(path: Path, kind: type[R]) -> list[R]:
    """The records of a file, in the order in which they were written.

    A last line without a newline that does not parse was cut off by a crash: it is left out.

    Raises ``ScenarioError``: the file cannot be read, or a line is no ``kind``.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise ScenarioError(f"cannot read results from {path}: {error.strerror}") from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(msgspec.json.decode(line, type=kind))
        except msgspec.MsgspecError as error:
            # Only a crash leaves a line without its newline; any other bad line is of another program's file.
            if number == len(lines) and not line.endswith(b"\n"):
                break
            raise ScenarioError(f"{path}:{number}: not a result of this study ({error})") from error
    return records


class Writer(Generic[R]):
    """Appends records to a file, and flushes each. Makes the file and its folder if they are missing.

    Raises ``OSError`` for a file that cannot be written.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_line(path)
        self._file: IO[bytes] = path.open("ab")

    def __enter__(self) -> Writer[R]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, record: R) -> None:
        self._file.write(msgspec.json.encode(record) + b"\n")
        self._file.flush()


def _drop_torn_line(path: Path) -> None:
    """Removes a last line that a crash cut off: the next record would be appended to it, and both be lost."""
    if path.exists() and (content := path.read_bytes()) and not content.endswith(b"\n"):
        path.write_bytes(content[: content.rfind(b"\n") + 1])


def missing(wanted: Iterable[W], known: Iterable[R], settles: Callable[[R], W | None]) -> list[W]:
    """The members of ``wanted``, in order, that no known record settles.

    ``settles`` tells which member a record is the result of. It returns None for a record that settles none,
    such as a failure that may succeed this time.
    """
    settled = {settles(record) for record in known}
    return [one for one in wanted if one not in settled]
