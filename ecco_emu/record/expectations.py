"""Judges whether a run met its scenario's expectations.

``scenario.expectations`` parses the texts in the YAML.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ecco_emu.core import units
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.scenario.expectations import FaultMoment, parse_delivers, parse_map, parse_moment
from ecco_emu.scenario.faults import timeline
from ecco_emu.scenario.schema import Scenario
from ecco_emu.scenario.sections.expect import ExpectationSection


class Facts(Protocol):
    """The questions that an expectation asks of a run. Times are emulated seconds."""

    def fault_time(self, index: int, phase: str) -> float | None:
        """When fault ``index`` really started or ended; None if it has not yet."""
        ...

    def delivered(self, camera: str, start: float, end: float) -> int:
        """How many segments of ``camera`` arrived before their deadlines from ``start`` to ``end``, both
        included."""
        ...

    def final_map(self, camera: str) -> float | None:
        """The camera's last measured mAP, or None if there was none."""
        ...


class ExpectationVerdict(NamedTuple):
    """``held, detail = evaluate(...)``: whether the expectation held, and the figures that decided it."""

    held: bool
    detail: str


def describe(expectation: ExpectationSection) -> str:
    """One line: ``cam2 delivers >= 1 segment within 10s of fault[0].end``."""
    text = f"{expectation.camera} "
    if expectation.map is not None:
        return text + f"ends with mAP {expectation.map}"
    within = units.format_time(expectation.within or 0.0)
    return text + f"delivers {expectation.delivers} within {within} of {expectation.of}"


def evaluate(expectation: ExpectationSection, facts: Facts) -> ExpectationVerdict:
    """Judges an expectation by the facts of a finished run."""
    if expectation.map is not None:
        return _evaluate_map(expectation, expectation.map, facts)
    moment = parse_moment(expectation.of or "start")
    start = facts.fault_time(moment.index, moment.phase) if isinstance(moment, FaultMoment) else moment
    if start is None:
        return ExpectationVerdict(False, f"{expectation.of} never came")
    end = start + (expectation.within or 0.0)
    count = facts.delivered(expectation.camera, start, end)
    held = parse_delivers(expectation.delivers or "").holds(count)
    segments = "segment" if count == 1 else "segments"
    return ExpectationVerdict(held, f"{count} {segments} delivered from {start:.2f} s to {end:.2f} s")


def _evaluate_map(expectation: ExpectationSection, text: str, facts: Facts) -> ExpectationVerdict:
    final = facts.final_map(expectation.camera)
    if final is None:
        return ExpectationVerdict(False, "its accuracy was never measured")
    return ExpectationVerdict(parse_map(text).holds(final), f"mAP was {final:.3f} at the end")


class RunFacts:
    """``Facts`` from a run's metrics. The run may still go on: each answer is as of now."""

    def __init__(self, scenario: Scenario, metrics: RunMetrics) -> None:
        self._ends, _ = timeline.pair(scenario.faults)
        self._metrics = metrics

    def fault_time(self, index: int, phase: str) -> float | None:
        end = self._ends.get(index)
        if phase == "end" and end is not None and end.ended_by is not None:
            # another fault, an ``up``, ended this one: the log has no end of its own for it
            index, phase = end.ended_by, "start"
        changes = [fault for fault in self._metrics.faults if fault.index == index and fault.phase == phase]
        # a flap has several of each: it starts with its first start and ends with its last end
        return changes[0 if phase == "start" else -1].applied if changes else None

    def delivered(self, camera: str, start: float, end: float) -> int:
        known = self._metrics.cameras.get(camera)
        return 0 if known is None else known.segments_delivered_between(start, end)

    def final_map(self, camera: str) -> float | None:
        known = self._metrics.cameras.get(camera)
        return None if known is None else known.map
