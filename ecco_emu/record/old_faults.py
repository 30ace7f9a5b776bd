"""Reads ``fault`` lines of version 1, whose change was text, so that older runs can still be shown.

Nothing writes such lines any more.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.events import FAULT_VERSION
from ecco_emu.core.faults import LinkChange, LinkCliff, LinkDown, LinkSet, LossBursts, NetworkPartition
from ecco_emu.core.units import parse_fraction
from ecco_emu.scenario.faults.line import parse_fault

_BURSTS = re.compile(r" burst_loss=(\S+) in (\S+)")


def upgrade(fields: dict[str, Any]) -> None:
    """Puts the typed ``change`` in place of a version-1 line's ``on`` and ``action``.

    Raises ``msgspec.ValidationError`` for a line that is not of version 1.
    """
    try:
        change = _change(str(fields.pop("on")), str(fields.pop("action")), str(fields["phase"]))
    except (KeyError, ValueError, ScenarioError) as error:
        raise msgspec.ValidationError(f"not a fault of version 1: {error}") from error
    fields |= {"version": FAULT_VERSION, "change": msgspec.to_builtins(change)}


def _change(on: str, action: str, phase: str) -> LinkChange:
    if action == "up" and phase == "end":  # the automatic end of a ``down``, not a fault of its own
        return LinkDown(on)
    if action.startswith("partition"):
        return NetworkPartition(tuple(tuple(nodes.split(", ")) for nodes in on.split(" / ")))
    if action == "cliff over":
        return LinkCliff(on, 0.0)  # version 1 left out the rate here, and no reader asks an end for it
    bursts = _BURSTS.search(action)  # the grammar of one line has no burst_loss: it is read apart
    if bursts is not None:
        rest = _BURSTS.sub("", action)
        others = LinkSet(on) if rest == "set" else parse_fault(f"{on} {rest}").change
        if not isinstance(others, LinkSet):
            raise ValueError(f"{action!r} has bursts and sets nothing")
        found = LossBursts(parse_fraction(bursts[1]), float(bursts[2]))
        return msgspec.structs.replace(others, burst_loss=found)
    # version 1 wrote ``blackhole up``, but the grammar wants ``direction=up``; its end had no direction
    action = re.sub(r"^blackhole (up|down)$", r"blackhole direction=\1", action).removesuffix(" over")
    return parse_fault(f"{on} {action}").change
