"""Reads a fault from one line of text, as a person types it during a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.units import BaseUnit
from ecco_emu.scenario.document import Document
from ecco_emu.scenario.faults.timeline import unknown_nodes
from ecco_emu.scenario.problems import Place, did_you_mean, shown
from ecco_emu.scenario.sections.faults import FAULT_KINDS, FaultSection
from ecco_emu.scenario.wording import problems_of

_GRAMMAR = (
    "LINK down [for=5s], LINK up, LINK set rate=2mbit [delay=50ms loss=1% …], "
    "LINK flap down=1s up=2s times=3, "
    "LINK cliff rate=200kbit [for=5s], LINK blackhole [direction=up for=5s], "
    "or CAMERA,CAMERA/server partition [for=5s]"
)


def parse_fault(text: str, *, at: float = 0.0, cameras: Iterable[str] | None = None) -> FaultSection:
    """The fault in one line of text, as ``ecco-emu inject`` takes it. It starts at emulated second ``at``.

    >>> parse_fault("cam2 down for=5s").down.for_
    5.0
    >>> parse_fault("cam1,cam2/server partition for=5s").partition.sets
    (('cam1', 'cam2'), ('server',))

    Raises ``ScenarioError`` that says what is wrong. An unknown link is wrong only if ``cameras`` are given.
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
        # ``times`` is the one bare number among a fault's keys: all others are text with a unit, or words
        values[key] = int(value) if key == "times" and value.isdecimal() else value
    data: dict[str, Any] = {"at": BaseUnit(at), action: True if action == "up" else values}
    if action == "partition":
        values["sets"] = [nodes.split(",") for nodes in on.split("/")]
    else:
        data["on"] = on
    fault = fault_of(data, shown(text))
    wrong = unknown_nodes(fault, list(cameras)) if cameras is not None else []
    if wrong:
        raise ScenarioError(f"fault {shown(text)}: {'; '.join(message for _, message in wrong)}")
    return fault


def fault_of(data: dict[str, Any], called: str) -> FaultSection:
    """A fault from plain data. Raises ``ScenarioError`` that says what is wrong with the fault ``called``
    so."""
    try:
        return FaultSection.model_validate(data)
    except ValidationError as error:
        # the same wording as for a file, but without a place: there is none
        found = problems_of(error, Document("", data, {(): Place("")}), FaultSection)
        detail = "; ".join(f"{problem.path}: {problem.message}" for problem in found)
        raise ScenarioError(f"fault {called}: {detail}") from None
