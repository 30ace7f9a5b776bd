"""Faults in time: what happens to which link when, automatic ends included."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ecco_emu.core import units
from ecco_emu.core.faults import SERVER_NODE, SHARED_LINKS, FaultPhase, LinkChange
from ecco_emu.scenario.problems import Path, did_you_mean, shown
from ecco_emu.scenario.schema import Scenario
from ecco_emu.scenario.sections.faults import FaultSection, FlapSection


@dataclass(frozen=True, slots=True)
class FaultStep:
    """One change of the network at its time, or its end. A flap is a row of both."""

    index: int
    """The fault's place in the scenario's list."""
    change: LinkChange
    phase: FaultPhase
    at: float
    """Emulated seconds."""


@dataclass(frozen=True, slots=True)
class FaultEnd:
    """When a fault is over, and which ``up`` ended it (None: it ended by itself)."""

    at: float
    ended_by: int | None


def timeline(scenario: Scenario) -> list[FaultStep]:
    """Every change to apply during the run, in order of time; at one time, ends come first.

    A ``down`` that an ``up`` mends early has no automatic end of its own.
    """
    ends, _ = pair(scenario.faults)
    found = []
    for index, fault in enumerate(scenario.faults):
        for event in steps_of(index, fault):
            end = ends.get(index)
            if event.phase == "start" or (end is not None and end.ended_by is None):
                found.append(event)
    lasting = [event for event in found if event.at <= scenario.windows.duration_s]
    return sorted(lasting, key=lambda event: (event.at, event.phase == "start", event.index))


def steps_of(index: int, fault: FaultSection) -> list[FaultStep]:
    """A single fault's changes: its start and, where it ends by itself, its end."""
    change = fault.change

    def step(phase: FaultPhase, at: float) -> FaultStep:
        return FaultStep(index, change, phase, at)

    if fault.flap is not None:
        turns = flap_turns(fault.flap)
        pairs = ((step("start", fault.at + down), step("end", fault.at + up)) for down, up in turns)
        return [each for pair in pairs for each in pair]
    lasts = _lasts(fault)
    start = step("start", fault.at)
    return [start] if lasts is None else [start, step("end", fault.at + lasts)]


def flap_turns(flap: FlapSection) -> list[tuple[float, float]]:
    """When the link goes down and comes up again, from the flap's beginning."""
    period = flap.down + flap.up
    limit = flap.for_ if flap.for_ is not None else math.inf
    times = flap.times if flap.times is not None else math.ceil(limit / period)
    starts = [number * period for number in range(times)]
    return [(start, min(start + flap.down, limit)) for start in starts if start < limit]


def _lasts(fault: FaultSection) -> float | None:
    """After how long a fault ends by itself, or None."""
    if fault.flap is not None:
        return flap_turns(fault.flap)[-1][1]
    lasting = fault.down or fault.cliff or fault.partition or fault.blackhole
    return lasting.for_ if lasting is not None else None


def pair(faults: Sequence[FaultSection | None]) -> tuple[dict[int, FaultEnd], list[tuple[int, str]]]:
    """Which fault ends when, and which ``down`` and ``up`` do not go together (fault index, message).

    None stands for a fault that is wrong in itself and is left out.
    """
    ends: dict[int, FaultEnd] = {}
    problems: list[tuple[int, str]] = []
    down: dict[str | None, int] = {}
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


def _wire(on: str | None) -> str | None:
    """Bottleneck and downlink are the two directions of the server's one wire, cut and mended together."""
    return "the server's" if on in SHARED_LINKS else on


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
