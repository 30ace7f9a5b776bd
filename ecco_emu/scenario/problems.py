"""Problems of a scenario: what is wrong, at which place, and which word was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ecco_emu.core.errors import ScenarioError

_LONGEST_MESSAGE, _LONGEST_KEY = 1000, 60

Path = tuple[str | int, ...]
"""Keys and list indices from the top of the scenario: ``("cameras", 0, "uplink", "rate")``."""

Finding = tuple[Path, str]
"""Something wrong or odd at a path, in words, before its place in the file is looked up."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a value was written: a position in a file (from 1), or an option of the command line."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong. Its text is ``file:line:column: path: message``, on one line.

    A warning is of a scenario that can run, but hardly does what its author wants.
    """

    place: Place
    path: str
    message: str
    severity: Literal["error", "warning"] = "error"

    def __post_init__(self) -> None:
        # a message may quote the file, which may have a megabyte in a line
        message = "; ".join(self.message.splitlines())
        if len(message) > _LONGEST_MESSAGE:
            half = _LONGEST_MESSAGE // 2
            message = f"{message[:half]} … {message[-half:]}"
        object.__setattr__(self, "message", message)

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.place), self.path, self.message) if part)


class InvalidScenario(ScenarioError):  # noqa: N818 - a name people catch
    """A scenario that cannot run. Its message has one line for each problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def path_text(path: Path) -> str:
    """``cameras[0].uplink.rate``, as people write it."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if part.isprintable() else ascii(part)[1:-1]
            key = key if len(key) <= _LONGEST_KEY else f"{key[: _LONGEST_KEY - 1]}…"
            text += f".{key}" if text else key
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'fps'?``, or an empty text when no known word is close."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def shown(value: object, limit: int = 60) -> str:
    """A value for a message: as YAML writes it, text in quotes, at most ``limit`` characters."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
