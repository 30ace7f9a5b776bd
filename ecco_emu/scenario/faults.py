"""Faults in time: what happens to which link when, automatic ends included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from ecco_emu.core import units
from ecco_emu.core.errors import ScenarioError
from ecco_emu.scenario.document import Document
from ecco_emu.scenario.problems import Place, did_you_mean, shown
from ecco_emu.scenario.schema import Fault, Scenario
from ecco_emu.scenario.wording import problems_of

SHARED_LINKS = ("bottleneck", "downlink")
_GRAMMAR = "LINK down [for=5s], LINK up, or LINK set rate=2mbit"


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """One change of one link. ``index`` is the fault's place in the scenario's list."""

    index: int
    on: str
    action: str
    """``down``, ``up`` or ``set rate=2mbit``."""
    phase: Literal["start", "end"]
    """``end``: the automatic end of a ``down`` with a ``for``; its action is ``up``."""
    at: float
    """Emulated seconds."""
    rate_bps: float | None = None
    """The new rate of a ``set``."""


@dataclass(frozen=True, slots=True)
class FaultEnd:
    """When a ``down`` is over, and which ``up`` ended it (None: its own ``for``)."""

    at: float
    ended_by: int | None


def timeline(scenario: Scenario) -> list[FaultEvent]:
    """Every change to apply during the run, in order of time; at one time, ends come first.

    A ``down`` that an ``up`` mends early has no automatic end of its own.
    """
    ends, _ = pair(scenario.faults)
    found = []
    for index, fault in enumerate(scenario.faults):
        for event in events_of(index, fault):
            end = ends.get(index)
            if event.phase == "start" or (end is not None and end.ended_by is None):
                found.append(event)
    lasting = [event for event in found if event.at <= scenario.windows.duration_s]
    return sorted(lasting, key=lambda event: (event.at, event.phase == "start", event.index))


def events_of(index: int, fault: Fault) -> list[FaultEvent]:
    """A single fault's start and, for a ``down`` with a ``for``, its automatic end."""
    rate = fault.set.rate if fault.set is not None else None
    events = [FaultEvent(index, fault.on, action_of(fault), "start", fault.at, rate)]
    if fault.down is not None and fault.down.for_ is not None:
        events.append(FaultEvent(index, fault.on, "up", "end", fault.at + fault.down.for_))
    return events


def action_of(fault: Fault) -> str:
    """``down``, ``up`` or ``set rate=2mbit``."""
    if fault.set is not None:
        return f"set rate={units.format_rate(fault.set.rate)}"
    return "up" if fault.up else "down"


def pair(faults: Sequence[Fault | None]) -> tuple[dict[int, FaultEnd], list[tuple[int, str]]]:
    """Which ``down`` ends when, and what does not go together (fault index, message).

    None stands for a fault that is wrong in itself and is left out.
    """
    ends: dict[int, FaultEnd] = {}
    problems: list[tuple[int, str]] = []
    down: dict[str, int] = {}
    ordered = sorted(
        ((index, fault) for index, fault in enumerate(faults) if fault is not None),
        key=lambda item: (item[1].at, item[0]),
    )
    for index, fault in ordered:
        wire = _wire(fault.on)
        before = down.get(wire)
        if before is not None and before in ends and ends[before].at <= fault.at:
            before = None
            del down[wire]
        if fault.down is not None:
            if before is not None:
                until = f" until {units.format_time(ends[before].at)}" if before in ends else ""
                problems.append((index, f"{fault.on} is down already: fault[{before}] holds it down{until}"))
                continue
            down[wire] = index
            if fault.down.for_ is not None:
                ends[index] = FaultEnd(fault.at + fault.down.for_, None)
        elif fault.up:
            if before is None:
                problems.append(
                    (index, f"{fault.on} is not down at {units.format_time(fault.at)}: no 'down' to end")
                )
                continue
            ends[before] = FaultEnd(fault.at, index)
            del down[wire]
    return ends, problems


def _wire(on: str) -> str:
    """Bottleneck and downlink are the two directions of the server's one wire, cut and mended together."""
    return "the server's" if on in SHARED_LINKS else on


def unknown_link(on: str, cameras: Iterable[str]) -> str | None:
    """What is wrong with a fault's ``on``, or None."""
    known = [*cameras, *SHARED_LINKS]
    if on in known:
        return None
    hint = did_you_mean(on, known) or f"; it is one of: {', '.join(known)}"
    return f"{shown(on)} is no link{hint}"


def parse_fault(text: str, *, at: float = 0.0, cameras: Iterable[str] | None = None) -> Fault:
    """A fault from one line, as ``ecco-emu inject`` takes it; it starts at emulated ``at``.

    >>> parse_fault("cam2 down for=5s").down.for_
    5.0

    Raises ``ScenarioError`` with what is wrong; with ``cameras``, also for an unknown link.
    """
    words = text.split()
    if len(words) < 2:
        raise ScenarioError(f"fault {shown(text)}: write {_GRAMMAR}")
    on, action, *rest = words
    if action not in ("down", "up", "set"):
        raise ScenarioError(f"fault {shown(text)}: {shown(action)} is no fault; write {_GRAMMAR}")
    values: dict[str, object] = {}
    for word in rest:
        key, equals, value = word.partition("=")
        if not equals or action == "up":
            raise ScenarioError(f"fault {shown(text)}: {shown(word)} does not belong here; write {_GRAMMAR}")
        values[key] = value
    data: dict[str, Any] = {"at": f"{at!r}s", "on": on, action: True if action == "up" else values}
    try:
        fault = Fault.model_validate(data)
    except ValidationError as error:
        found = problems_of(error, Document("", data, {(): Place("")}), Fault)
        detail = "; ".join(f"{problem.path}: {problem.message}" for problem in found)
        raise ScenarioError(f"fault {shown(text)}: {detail}") from None
    wrong = unknown_link(on, cameras) if cameras is not None else None
    if wrong:
        raise ScenarioError(f"fault {shown(text)}: {wrong}")
    return fault
