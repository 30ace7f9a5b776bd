"""What a run must achieve: the little language of expectations, and whether facts satisfy one."""

from __future__ import annotations

import math
import operator
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ecco_emu.core import events, units
from ecco_emu.scenario import faults
from ecco_emu.scenario.schema import Scenario
from ecco_emu.scenario.sections.expect import ExpectationSection

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
    """``fault[index].phase``."""

    index: int
    phase: str


class Facts(Protocol):
    """What an expectation may ask of a run. Times are emulated seconds."""

    def fault_time(self, index: int, phase: str) -> float | None:
        """When fault ``index`` really started or ended, or None if it has not."""
        ...

    def delivered(self, camera: str, start: float, end: float) -> int:
        """Segments of ``camera`` delivered in time, within [start, end]."""
        ...

    def final_map(self, camera: str) -> float | None:
        """The camera's last measured mAP, or None if there was none."""
        ...


class Verdict(NamedTuple):
    """``held, detail = evaluate(...)``: whether it held, and the figures that decided."""

    held: bool
    detail: str


def parse_delivers(text: str) -> Comparison:
    """``>= 1 segment``. Raises ``ValueError``."""
    comparison, unit = _comparison(text, "'>= 1 segment'")
    if unit not in ("segment", "segments"):
        raise ValueError(f"{text!r} does not say of what; write it as '>= 1 segment'")
    if comparison.value < 0 or comparison.value != math.floor(comparison.value):
        raise ValueError(f"{text!r} asks for a number of segments that cannot be")
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


def describe(expectation: ExpectationSection) -> str:
    """One line: ``cam2 delivers >= 1 segment within 10s of fault[0].end``."""
    text = f"{expectation.camera} "
    if expectation.map is not None:
        return text + f"ends with mAP {expectation.map}"
    within = units.format_time(expectation.within or 0.0)
    return text + f"delivers {expectation.delivers} within {within} of {expectation.of}"


def evaluate(expectation: ExpectationSection, facts: Facts) -> Verdict:
    """Whether the facts of a finished run satisfy the expectation, and the figures that decide."""
    if expectation.map is not None:
        return _evaluate_map(expectation, expectation.map, facts)
    moment = parse_moment(expectation.of or "start")
    start = facts.fault_time(moment.index, moment.phase) if isinstance(moment, FaultMoment) else moment
    if start is None:
        return Verdict(False, f"{expectation.of} never came")
    end = start + (expectation.within or 0.0)
    count = facts.delivered(expectation.camera, start, end)
    held = parse_delivers(expectation.delivers or "").holds(count)
    segments = "segment" if count == 1 else "segments"
    return Verdict(held, f"{count} {segments} delivered from {start:.2f} s to {end:.2f} s")


def _evaluate_map(expectation: ExpectationSection, text: str, facts: Facts) -> Verdict:
    final = facts.final_map(expectation.camera)
    if final is None:
        return Verdict(False, "its accuracy was never measured")
    return Verdict(parse_map(text).holds(final), f"mAP was {final:.3f} at the end")


@dataclass(slots=True)
class RunFacts:
    """``Facts`` folded from a run's events."""

    scenario: Scenario
    _delivered: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _maps: dict[str, float] = field(default_factory=dict)
    _faults: dict[tuple[int, str], float] = field(default_factory=dict)

    def see(self, event: events.Event) -> None:
        if isinstance(event, events.SegmentMoved):
            if event.state == "delivered":
                self._delivered[event.camera].append(event.t)
        elif isinstance(event, events.Accuracy):
            self._maps[event.camera] = event.map
        elif isinstance(event, events.FaultApplied):
            self._see_fault(event)

    def _see_fault(self, event: events.FaultApplied) -> None:
        # a flap has many: it begins with its first "start" and is over with its last "end"
        if event.phase == "end" or (event.index, "start") not in self._faults:
            self._faults[event.index, event.phase] = event.applied

    def fault_time(self, index: int, phase: str) -> float | None:
        if phase == "end":
            end = faults.pair(self.scenario.faults)[0].get(index)
            if end is not None and end.ended_by is not None:
                return self._faults.get((end.ended_by, "start"))
        return self._faults.get((index, phase))

    def delivered(self, camera: str, start: float, end: float) -> int:
        return sum(start <= t <= end for t in self._delivered.get(camera, ()))

    def final_map(self, camera: str) -> float | None:
        return self._maps.get(camera)
