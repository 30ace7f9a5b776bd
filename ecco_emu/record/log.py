"""events.jsonl: written line by line during a run, and readable during it and after a crash.

Each line is a JSON object: ``t`` (emulated seconds), ``wall`` (seconds since the log was opened),
``kind``, then the event's own fields (``core.events``). JSON has no NaN: a number that is not finite is
written as null and read back as NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

import msgspec

from ecco_emu.core.errors import HostError, ScenarioError
from ecco_emu.core.events import AnyEvent, Event, FaultApplied
from ecco_emu.core.faults import LinkChange
from ecco_emu.record import old_faults

_KINDS: dict[str, type[Event]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(AnyEvent) if issubclass(kind, Event)
}
_CHANGES = frozenset(kind.__struct_config__.tag for kind in get_args(LinkChange))
_encoder = msgspec.json.Encoder()


class EventLog:
    """Appends events to a new file.

    Every line reaches the kernel in one write before ``append`` returns. A process that dies, even by
    SIGKILL, therefore leaves whole lines. ``clock_wall`` gives wall seconds (monotonic); its origin does not
    matter. Only one thread may append. Raises ``ScenarioError`` when the file exists, ``HostError`` when it
    cannot be written.
    """

    def __init__(self, path: Path, clock_wall: Callable[[], float]) -> None:
        self.path = path
        self._clock_wall = clock_wall
        self._origin_wall = clock_wall()
        try:
            # unbuffered: a line that stood in a buffer of ours would be lost with the process
            self._file = path.open("xb", buffering=0)
        except FileExistsError as error:
            raise ScenarioError(f"{path} exists: a log belongs to one run") from error
        except OSError as error:
            raise HostError(f"cannot write {path}: {error.strerror}") from error

    def append(self, event: AnyEvent) -> None:
        """Writes one line. Raises ``HostError`` when it cannot be written (a full disk)."""
        wall_s = self._clock_wall() - self._origin_wall
        try:
            self._file.write(encode_line(event, wall_s))
        except OSError as error:
            raise HostError(f"cannot write {self.path}: {error.strerror}") from error

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def encode_line(event: AnyEvent, wall_s: float) -> bytes:
    """One line of the log with its newline; ``wall_s`` is rounded to microseconds."""
    fields = msgspec.to_builtins(event)
    head = {"t": fields.pop("t"), "wall": round(wall_s, 6), "kind": fields.pop("kind")}
    return _encoder.encode(head | fields) + b"\n"


def read(path: Path) -> Iterator[tuple[AnyEvent, float]]:
    """Yields ``(event, wall)`` in the order written.

    A last line without its newline ends the reading, and so do zero bytes after which no event comes: a host
    that lost its power leaves a torn line, or a block that was never written. Events of a kind that this
    version does not know are skipped, so that logs of later versions can be read. Any other line that is not
    an event raises ``ScenarioError`` with the file's name and the line's number.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise ScenarioError(f"cannot read {path}: {error.strerror}") from error
    with file:
        for number, line in enumerate(file, start=1):
            try:
                event, wall_s = decode_line(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                torn = not line.endswith(b"\n") or b"\0" in line
                if torn and not any(map(_is_event, file)):
                    return
                raise ScenarioError(f"{path}:{number}: not an event: {error}") from error
            if event is not None:
                yield event, wall_s


def _is_event(line: bytes) -> bool:
    try:
        decode_line(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


def decode_line(line: bytes) -> tuple[AnyEvent | None, float]:
    """``(event, wall)`` of a line; the event is None where its kind is unknown.

    Raises ``msgspec.MsgspecError`` for anything that is no event.
    """
    fields = msgspec.json.decode(line)
    if not isinstance(fields, dict) or not isinstance(fields.get("kind"), str):
        raise msgspec.ValidationError("not an object with a 'kind'")
    wall_s = msgspec.convert(fields.pop("wall", None), float)
    kind = _KINDS.get(fields["kind"])
    if kind is None:
        return None, wall_s
    if kind is FaultApplied:
        if "change" not in fields:
            old_faults.upgrade(fields)
        change = fields["change"]
        if isinstance(change, dict) and change.get("kind") not in _CHANGES:
            return None, wall_s  # a kind of fault that a later version has
    event: AnyEvent = msgspec.convert(_with_nan(fields, kind), kind)  # type: ignore[assignment]
    return event, wall_s


def _with_nan(fields: dict[str, Any], kind: type[Event]) -> dict[str, Any]:
    """Puts NaN in place of null, where the field's type says that only a number can have stood there."""
    for field in msgspec.structs.fields(kind):
        value = fields.get(field.encode_name)
        # not for ``float | None``, where null means "not measured"; nor for a field that the line lacks,
        # which has its default
        if field.type is float and value is None and field.encode_name in fields:
            fields[field.encode_name] = math.nan
        elif isinstance(value, list) and field.type == list[float]:
            fields[field.encode_name] = [math.nan if item is None else item for item in value]
    return fields
