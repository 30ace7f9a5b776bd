"""Reads a file's text, whichever system's editor wrote it, or says what is wrong with it and where."""

from __future__ import annotations

import codecs
from pathlib import Path

from ecco_emu.scenario.problems import Place, Problem

MAX_BYTES = 1024 * 1024
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte-order marks and the encodings that they announce, as YAML has it. Without one a file is UTF-8."""


def read_text(file: Path) -> tuple[str, Problem | None]:
    """The text of a scenario or a table, without a byte-order mark; or an empty one, and the problem."""
    place = Place(str(file))
    if file.is_dir():
        return "", Problem(place, "", "is a directory; name a scenario file in it")
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)  # never all of a device that has no end
    except FileNotFoundError:
        return "", Problem(place, "", "there is no such file")
    except OSError as error:
        return "", Problem(place, "", f"cannot be read: {error.strerror or error}")
    except ValueError:  # a NUL in the name
        return "", Problem(Place(ascii(str(file))), "", "is no name of a file")
    if len(raw) > MAX_BYTES:
        return "", Problem(place, "", "is larger than 1 MB; a scenario is a few kilobytes")
    return _decoded(raw, str(file))


def _decoded(raw: bytes, source: str) -> tuple[str, Problem | None]:
    mark, encoding = next((each for each in _MARKS if raw.startswith(each[0])), (b"", "utf-8"))
    body = raw[len(mark) :]
    try:
        return body.decode(encoding), None
    except UnicodeDecodeError as error:
        before = body[: error.start].decode(encoding)
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        return "", Problem(Place(source, line, column), "", f"is not {encoding[:6].upper()} text here")
