"""What a fault changes in the network, as typed values: the same from the YAML to the lab and to the report.

A scenario's fault becomes steps in time (``scenario.faults.timeline``), each with one of these changes. The
emulation carries a change out, the event log keeps it, and folds of the log read its fields. Only ``action``
and ``where`` make words of it, for people. All quantities are emulated and in base units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from ecco_emu.core import units

SHARED_LINKS = ("bottleneck", "downlink")
"""The links that all cameras share: the two directions of the server's one wire."""
SERVER_NODE = "server"

FaultPhase = Literal["start", "end"]
"""``start``: the change holds from now on. ``end``: it is over by itself, and what was before holds again."""


class _Change(msgspec.Struct, frozen=True, tag_field="kind", omit_defaults=True):
    """Written to the log without the fields that were not given."""


class LinkDown(_Change, frozen=True, tag="down"):
    """A link carries nothing, either way. A flap is a row of these."""

    on: str
    """A camera's id, ``bottleneck`` or ``downlink``, here and below."""


class LinkUp(_Change, frozen=True, tag="up"):
    """A link that was down is mended before its time."""

    on: str


class LossBursts(msgspec.Struct, frozen=True):
    """Losses that come in bursts: the fraction lost in the long run, and packets in a row on average."""

    mean: float
    packets: float


class LinkSet(_Change, frozen=True, tag="set"):
    """A link's shape changes for good, or until it is set again. What is None stays as it is."""

    on: str
    rate_bps: float | None = None
    delay_s: float | None = None
    jitter_s: float | None = None
    loss: float | None = None
    burst_loss: LossBursts | None = None
    duplicate: float | None = None
    corrupt: float | None = None

    @property
    def impairs(self) -> bool:
        """It changes more than the rate."""
        impairments = (self.delay_s, self.jitter_s, self.loss, self.burst_loss, self.duplicate, self.corrupt)
        return any(value is not None for value in impairments)


class LinkCliff(_Change, frozen=True, tag="cliff"):
    """A link has at most this rate, whatever else is set or traced."""

    on: str
    rate_bps: float


class LinkBlackhole(_Change, frozen=True, tag="blackhole"):
    """Packets vanish in one direction, and nobody is told. ``up`` is towards the server."""

    on: str
    direction: Literal["up", "down"]


class NetworkPartition(_Change, frozen=True, tag="partition"):
    """Nodes of different sets do not reach each other. A node in none of them reaches all."""

    sets: tuple[tuple[str, ...], ...]


LinkChange = LinkDown | LinkUp | LinkSet | LinkCliff | LinkBlackhole | NetworkPartition


def cut_off(change: LinkChange, phase: FaultPhase, cameras: Sequence[str]) -> list[str]:
    """The cameras of the run that cannot talk with the server once this holds."""
    if phase == "end":
        return []
    match change:
        case LinkDown(on=on) | LinkBlackhole(on=on):
            return list(cameras) if on in SHARED_LINKS else [on]
        case NetworkPartition(sets=sets) if any(SERVER_NODE in nodes for nodes in sets):
            return [node for nodes in sets if SERVER_NODE not in nodes for node in nodes]
    return []


def where(change: LinkChange) -> str:
    """In words, the link it is on, or a partition's sets: ``cam1, cam2 / server``."""
    if isinstance(change, NetworkPartition):
        return " / ".join(", ".join(nodes) for nodes in change.sets)
    return change.on


def action(change: LinkChange, phase: FaultPhase) -> str:
    """What is done, in words: ``down``, ``up``, ``set rate=2mbit``, ``blackhole up``, ``cliff over`` …"""
    match change:
        case LinkUp():
            return "up"
        case LinkDown():
            return "down" if phase == "start" else "up"
        case LinkSet():
            return " ".join(["set", *_settings(change)])
        case LinkCliff() if phase == "start":
            return f"cliff rate={units.format_rate(change.rate_bps)}"
        case LinkBlackhole() if phase == "start":
            return f"blackhole {change.direction}"
    kind = str(change.__struct_config__.tag)
    return kind if phase == "start" else f"{kind} over"


def _settings(change: LinkSet) -> list[str]:
    """What a ``set`` changes, as it is written on one line."""
    quantities = (
        ("rate", change.rate_bps, units.format_rate),
        ("delay", change.delay_s, units.format_time),
        ("jitter", change.jitter_s, units.format_time),
        ("loss", change.loss, units.format_fraction),
        ("duplicate", change.duplicate, units.format_fraction),
        ("corrupt", change.corrupt, units.format_fraction),
    )
    settings = [f"{key}={spelled(value)}" for key, value, spelled in quantities if value is not None]
    if change.burst_loss is not None:
        bursts = change.burst_loss
        settings.append(f"burst_loss={units.format_fraction(bursts.mean)} in {bursts.packets:g}")
    return settings
