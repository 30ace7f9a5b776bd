"""Turns a scenario's faults into steps in time, with their automatic ends."""

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
    """The start or the end of one change of the network. A flap is several of both in turn."""

    index: int
    """The fault's place in the scenario's list."""
    change: LinkChange
    phase: FaultPhase
    at: float
    """Emulated seconds."""


@dataclass(frozen=True, slots=True)
class FaultEnd:
    """When a fault is over."""

    at: float
    """Emulated seconds."""
    ended_by: int | None
    """The place in the scenario's list of the ``up`` that ended it; None when it ended by itself."""


def timeline(scenario: Scenario) -> list[FaultStep]:
    """Every step to apply during the run, in order of time.

    A ``down`` that an ``up`` mends early has no automatic end: the ``up`` is its end.
    """
    ends, _ = pair(scenario.faults)
    found = []
    for index, fault in enumerate(scenario.faults):
        for event in steps_of(index, fault):
            end = ends.get(index)
            if event.phase == "start" or (end is not None and end.ended_by is None):
                found.append(event)
    lasting = [event for event in found if event.at <= scenario.windows.duration_s]
    # ends first: a link that one fault frees and another takes at the same time is then taken
    return sorted(lasting, key=lambda event: (event.at, event.phase == "start", event.index))


def steps_of(index: int, fault: FaultSection) -> list[FaultStep]:
    """The steps of one fault: its start and, where it ends by itself, its end."""
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
    """``(down, up)`` of each turn: when the link is cut and mended, in seconds from the flap's beginning."""
    period = flap.down + flap.up
    limit = flap.for_ if flap.for_ is not None else math.inf
    times = flap.times if flap.times is not None else math.ceil(limit / period)
    starts = [number * period for number in range(times)]
    # the last turn is cut short at ``for``: the link is up when the flap is over
    return [(start, min(start + flap.down, limit)) for start in starts if start < limit]


def _lasts(fault: FaultSection) -> float | None:
    """Emulated seconds after which a fault ends by itself; None when it does not."""
    if fault.flap is not None:
        return flap_turns(fault.flap)[-1][1]
    lasting = fault.down or fault.cliff or fault.partition or fault.blackhole
    return lasting.for_ if lasting is not None else None


def pair(faults: Sequence[FaultSection | None]) -> tuple[dict[int, FaultEnd], list[tuple[int, str]]]:
    """When each fault ends, and every ``down`` or ``up`` that does not fit the others.

    Returns the ends by the fault's index, and problems as ``(fault index, message)``. None in ``faults``
    stands for a fault that is wrong in itself; it is left out.
    """
    ends: dict[int, FaultEnd] = {}
    problems: list[tuple[int, str]] = []
    down: dict[str | None, int] = {}  # by wire, the fault that holds it down at this point of time
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
        # the ``down`` before it has ended by itself in the meantime
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
            ends[before] = FaultEnd(fault.at, index)  # in place of the automatic end, if it had one
            del down[wire]
    return ends, problems


def _wire(on: str | None) -> str | None:
    """The wire of a link. Bottleneck and downlink are one wire's two directions, cut and mended together."""
    return "the server's" if on in SHARED_LINKS else on


def unknown_link(on: str, cameras: Iterable[str]) -> str | None:
    """The problem with a fault's ``on``, or None."""
    return _unknown(on, [*cameras, *SHARED_LINKS], "link")


def unknown_nodes(fault: FaultSection, cameras: Iterable[str]) -> list[tuple[Path, str]]:
    """The problems with the names in a fault, as ``(path within the fault, message)``."""
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
