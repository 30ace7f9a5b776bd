"""Faults in time: what happens to which link when, automatic ends included."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from ecco_emu.core import units
from ecco_emu.core.errors import ScenarioError
from ecco_emu.scenario.document import Document
from ecco_emu.scenario.problems import Path, Place, did_you_mean, shown
from ecco_emu.scenario.schema import Scenario
from ecco_emu.scenario.sections.faults import FAULT_KINDS, FaultSection, FlapSection, SetShapeSection
from ecco_emu.scenario.wording import problems_of

SHARED_LINKS = ("bottleneck", "downlink")
SERVER_NODE = "server"
_GRAMMAR = (
    "LINK down [for=5s], LINK up, LINK set rate=2mbit [delay=50ms loss=1% …], "
    "LINK flap down=1s up=2s times=3, "
    "LINK cliff rate=200kbit [for=5s], LINK blackhole [direction=up for=5s], "
    "or CAMERA,CAMERA/server partition [for=5s]"
)


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """One change of one link, or of a partition. ``index`` is the fault's place in the scenario's list."""

    index: int
    on: str
    action: str
    """``down``, ``up``, ``set rate=2mbit``, ``cliff rate=200kbit``, ``blackhole up`` or ``partition``, and at
    the end of the last three ``cliff over`` and so on. A flap is a row of ``down`` and ``up``."""
    phase: Literal["start", "end"]
    """``end``: something is over by itself. Each fault has its own ``start`` first."""
    at: float
    """Emulated seconds."""
    fault: FaultSection | None = field(default=None, compare=False)
    """The whole fault; None for a plain ``down`` or ``up``."""


@dataclass(frozen=True, slots=True)
class FaultEnd:
    """When a fault is over, and which ``up`` ended it (None: it ended by itself)."""

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


def events_of(index: int, fault: FaultSection) -> list[FaultEvent]:
    """A single fault's changes: its start and, where it ends by itself, its end."""

    def event(action: str, phase: Literal["start", "end"], at: float) -> FaultEvent:
        return FaultEvent(index, fault.where, action, phase, at, fault)

    if fault.flap is not None:
        steps = flap_steps(fault.flap)
        return [
            change
            for down, up in steps
            for change in (
                event("down", "start", fault.at + down),
                event("up", "end", fault.at + up),
            )
        ]
    events = [event(action_of(fault), "start", fault.at)]
    lasts = _lasts(fault)
    if lasts is not None:
        over = "up" if fault.down is not None else f"{fault.kind} over"
        events.append(event(over, "end", fault.at + lasts))
    return events


def flap_steps(flap: FlapSection) -> list[tuple[float, float]]:
    """When the link goes down and comes up again, from the flap's beginning."""
    period = flap.down + flap.up
    limit = flap.for_ if flap.for_ is not None else math.inf
    times = flap.times if flap.times is not None else math.ceil(limit / period)
    starts = [number * period for number in range(times)]
    return [(start, min(start + flap.down, limit)) for start in starts if start < limit]


def action_of(fault: FaultSection) -> str:
    """What a fault's start does: ``down``, ``set rate=2mbit``, ``blackhole up`` and so on."""
    if fault.set is not None:
        return " ".join(["set", *_words(fault.set)])
    if fault.cliff is not None:
        return f"cliff rate={units.format_rate(fault.cliff.rate)}"
    if fault.blackhole is not None:
        return f"blackhole {_direction(fault)}"
    return "down" if fault.kind == "flap" else fault.kind


def _direction(fault: FaultSection) -> str:
    assert fault.blackhole is not None
    if fault.on in SHARED_LINKS:
        return "up" if fault.on == "bottleneck" else "down"
    return fault.blackhole.direction


def _words(change: SetShapeSection) -> list[str]:
    data = change.model_dump(mode="json", exclude_unset=True)
    words = []
    for key in SetShapeSection.model_fields:  # in their order, the rate first
        if key == "burst_loss" and change.burst_loss is not None:
            burst = data[key]
            words.append(f"burst_loss={burst['mean']} in {change.burst_loss.packets:g}")
        elif key in data:
            words.append(f"{key}={data[key]}")
    return words


def _lasts(fault: FaultSection) -> float | None:
    """After how long a fault ends by itself, or None."""
    if fault.flap is not None:
        return flap_steps(fault.flap)[-1][1]
    lasting = fault.down or fault.cliff or fault.partition or fault.blackhole
    return lasting.for_ if lasting is not None else None


def pair(faults: Sequence[FaultSection | None]) -> tuple[dict[int, FaultEnd], list[tuple[int, str]]]:
    """Which fault ends when, and which ``down`` and ``up`` do not go together (fault index, message).

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
        lasts = _lasts(fault)
        if fault.down is None and not fault.up:
            if lasts is not None:
                ends[index] = FaultEnd(fault.at + lasts, None)
            continue
        wire = _wire(fault.where)
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
            if lasts is not None:
                ends[index] = FaultEnd(fault.at + lasts, None)
        else:
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


def cut_off(on: str, action: str, cameras: Sequence[str]) -> list[str]:
    """The cameras that cannot talk with the server once a change with this ``on`` and ``action`` holds."""
    kind, *words = action.split()
    if words == ["over"] or kind not in ("down", "blackhole", "partition"):
        return []
    if kind != "partition":
        return list(cameras) if on in SHARED_LINKS else [on]
    sets = [nodes.split(", ") for nodes in on.split(" / ")]
    if not any(SERVER_NODE in nodes for nodes in sets):
        return []
    return [node for nodes in sets if SERVER_NODE not in nodes for node in nodes]


def unknown_link(on: str, cameras: Iterable[str]) -> str | None:
    """What is wrong with a fault's ``on``, or None."""
    return _unknown(on, [*cameras, *SHARED_LINKS], "link")


def unknown_nodes(fault: FaultSection, cameras: Iterable[str]) -> list[tuple[Path, str]]:
    """What is wrong with the names in a fault, each with its place within the fault."""
    known = list(cameras)
    if fault.partition is None:
        wrong = unknown_link(fault.on or "", known)
        return [(("on",), wrong)] if wrong else []
    found: list[tuple[Path, str]] = []
    seen: dict[str, int] = {}
    for number, nodes in enumerate(fault.partition.sets):
        for place, node in enumerate(nodes):
            path: Path = ("partition", "sets", number, place)
            wrong = _unknown(node, [*known, SERVER_NODE], "node")
            if wrong is None and node in seen:
                wrong = f"{shown(node)} stands in sets[{seen[node]}] already"
            if wrong is not None:
                found.append((path, wrong))
            seen.setdefault(node, number)
    return found


def _unknown(name: str, known: Sequence[str], what: str) -> str | None:
    if name in known:
        return None
    hint = did_you_mean(name, known) or f"; it is one of: {', '.join(known)}"
    return f"{shown(name)} is no {what}{hint}"


def parse_fault(text: str, *, at: float = 0.0, cameras: Iterable[str] | None = None) -> FaultSection:
    """A fault from one line, as ``ecco-emu inject`` takes it; it starts at emulated ``at``.

    >>> parse_fault("cam2 down for=5s").down.for_
    5.0
    >>> parse_fault("cam1,cam2/server partition for=5s").partition.sets
    (('cam1', 'cam2'), ('server',))

    Raises ``ScenarioError`` with what is wrong; with ``cameras``, also for an unknown link.
    """
    words = text.split()
    if len(words) < 2:
        raise ScenarioError(f"fault {shown(text)}: write {_GRAMMAR}")
    on, action, *rest = words
    if action not in FAULT_KINDS:
        hint = did_you_mean(action, FAULT_KINDS)
        raise ScenarioError(f"fault {shown(text)}: {shown(action)} is no fault{hint}; write {_GRAMMAR}")
    values: dict[str, object] = {}
    for word in rest:
        key, equals, value = word.partition("=")
        if not equals or action == "up":
            raise ScenarioError(f"fault {shown(text)}: {shown(word)} does not belong here; write {_GRAMMAR}")
        values[key] = int(value) if key == "times" and value.isdecimal() else value
    data: dict[str, Any] = {"at": f"{at!r}s", action: True if action == "up" else values}
    if action == "partition":
        values["sets"] = [nodes.split(",") for nodes in on.split("/")]
    else:
        data["on"] = on
    try:
        fault = FaultSection.model_validate(data)
    except ValidationError as error:
        found = problems_of(error, Document("", data, {(): Place("")}), FaultSection)
        detail = "; ".join(f"{problem.path}: {problem.message}" for problem in found)
        raise ScenarioError(f"fault {shown(text)}: {detail}") from None
    wrong = unknown_nodes(fault, list(cameras)) if cameras is not None else []
    if wrong:
        raise ScenarioError(f"fault {shown(text)}: {'; '.join(message for _, message in wrong)}")
    return fault
