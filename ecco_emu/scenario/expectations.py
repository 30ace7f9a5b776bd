"""Parses the texts in which a scenario's expectations are written, such as ``>= 1 segment``.

``record.expectations`` judges a run by them.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from ecco_emu.core import units

_COMPARISON = re.compile(r"^\s*(>=|<=|==|!=|>|<)\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*([a-z]*)\s*$")
_FAULT_MOMENT = re.compile(r"^\s*fault\[(\d{1,6})\]\.(start|end)\s*$")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """``>= 1``: an operator and a number."""

    operator: str
    value: float

    def holds(self, value: float) -> bool:
        return _OPERATORS[self.operator](value, self.value)


@dataclass(frozen=True, slots=True)
class FaultMoment:
    """``fault[index].phase``: the start or the end of the fault with that place in the scenario's list."""

    index: int
    phase: str


def parse_delivers(text: str) -> Comparison:
    """``>= 1 segment``. Raises ``ValueError``."""
    comparison, unit = _comparison(text, "'>= 1 segment'")
    if unit not in ("segment", "segments"):
        raise ValueError(f"{text!r} does not say of what; write it as '>= 1 segment'")
    if comparison.value < 0 or comparison.value != math.floor(comparison.value):
        raise ValueError(f"{text!r} asks for a number of segments that cannot be")  # a fraction, or below 0
    return comparison


def parse_map(text: str) -> Comparison:
    """``>= 0.3``, of a mAP from 0 to 1. Raises ``ValueError``."""
    comparison, unit = _comparison(text, "'>= 0.3'")
    if unit:
        raise ValueError(f"{text!r} has a unit, but mAP has none; write it as '>= 0.3'")
    if not 0 <= comparison.value <= 1:
        raise ValueError(f"{text!r} can never be decided: mAP is from 0 to 1")
    return comparison


def _comparison(text: str, example: str) -> tuple[Comparison, str]:
    match = _COMPARISON.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a comparison; write it as {example}")
    return Comparison(match[1], float(match[2])), match[3]


def parse_moment(text: str) -> FaultMoment | float:
    """``fault[N].start``, ``fault[N].end``, ``start`` or a time; a time in seconds. Raises ``ValueError``."""
    if text.strip() == "start":
        return 0.0
    match = _FAULT_MOMENT.match(text)
    if match:
        return FaultMoment(int(match[1]), match[2])
    try:
        moment = units.parse_time(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a moment: it is start, fault[N].start, fault[N].end or a time such as 25s"
        ) from None
    if moment < 0:
        raise ValueError(f"{text!r} is before the start of the run")
    return moment
