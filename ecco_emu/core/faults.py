"""The changes that faults make to the network, as typed values: the same from the YAML to the report.

A scenario's fault becomes steps in time (``scenario.faults.timeline``). Each step has one of these changes.
The emulation carries a change out (``emulation.injector``), the event log stores it, and ``record.metrics``
reads its fields. Only ``action`` and ``where`` put a change into words, for people; nothing parses those
words. All quantities are emulated and in base units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from ecco_emu.core import units

SHARED_LINKS = ("bottleneck", "downlink")
"""The links that all cameras share. They are the two directions of one wire, the server's."""
SERVER_NODE = "server"

FaultPhase = Literal["start", "end"]
"""``start``: the change holds from now on. ``end``: its time is over, and the state before it holds again."""


class _Change(msgspec.Struct, frozen=True, tag_field="kind", omit_defaults=True):
    """The base of all changes. The log leaves out the fields that were not given."""


class LinkDown(_Change, frozen=True, tag="down"):
    """A link carries nothing in either direction. A flap is several of these in a row."""

    on: str
    """The link: a camera's id, ``bottleneck`` or ``downlink``. The same in all other changes."""


class LinkUp(_Change, frozen=True, tag="up"):
    """A link that is down carries packets again, before the time at which its ``down`` would have ended."""

    on: str


class LossBursts(msgspec.Struct, frozen=True):
    """Losses that come in bursts, by the model of Gilbert and Elliott."""

    mean: float
    """The fraction of all packets that is lost in the long run."""
    packets: float
    """How many packets in a row a burst loses on average."""


class LinkSet(_Change, frozen=True, tag="set"):
    """A link's shape changes for good, or until the next ``set``. A field that is None stays as it was."""

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
        """Whether it changes more than the rate: delay, jitter, losses, duplicates or bit errors."""
        impairments = (self.delay_s, self.jitter_s, self.loss, self.burst_loss, self.duplicate, self.corrupt)
        return any(value is not None for value in impairments)


class LinkCliff(_Change, frozen=True, tag="cliff"):
    """A link has at most this rate, whatever a ``set`` or a trace says."""

    on: str
    rate_bps: float


class LinkBlackhole(_Change, frozen=True, tag="blackhole"):
    """Packets vanish in one direction without a signal to any node. ``up`` is towards the server."""

    on: str
    direction: Literal["up", "down"]


class NetworkPartition(_Change, frozen=True, tag="partition"):
    """Nodes of different sets do not reach each other. A node that is in no set reaches all nodes."""

    sets: tuple[tuple[str, ...], ...]


LinkChange = LinkDown | LinkUp | LinkSet | LinkCliff | LinkBlackhole | NetworkPartition


def cut_off(change: LinkChange, phase: FaultPhase, cameras: Sequence[str]) -> list[str]:
    """The ids of those ``cameras`` that cannot talk with the server once this change holds."""
    if phase == "end":
        return []
    match change:
        case LinkDown(on=on) | LinkBlackhole(on=on):
            # one direction is enough to cut a camera off: without acknowledgements it stops to send
            return list(cameras) if on in SHARED_LINKS else [on]
        case NetworkPartition(sets=sets) if any(SERVER_NODE in nodes for nodes in sets):
            # a camera that stands in no set still reaches the server
            return [node for nodes in sets if SERVER_NODE not in nodes for node in nodes]
    return []


def where(change: LinkChange) -> str:
    """The link that changes or, of a partition, its sets, in words: ``cam1, cam2 / server``."""
    if isinstance(change, NetworkPartition):
        return " / ".join(", ".join(nodes) for nodes in change.sets)
    return change.on


def action(change: LinkChange, phase: FaultPhase) -> str:
    """The change, in words: ``down``, ``up``, ``set rate=2mbit``, ``blackhole up``, ``cliff over`` …"""
    match change:
        case LinkUp():
            return "up"
        case LinkDown():  # its end is an ``up``, as if the scenario had one
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
    """The parts that a ``set`` changes, in the order of its keys in YAML."""
    bursts = change.burst_loss
    spelled = {
        "rate": None if change.rate_bps is None else units.format_rate(change.rate_bps),
        "delay": None if change.delay_s is None else units.format_time(change.delay_s),
        "jitter": None if change.jitter_s is None else units.format_time(change.jitter_s),
        "loss": None if change.loss is None else units.format_fraction(change.loss),
        "burst_loss": bursts and f"{units.format_fraction(bursts.mean)} in {bursts.packets:g}",
        "duplicate": None if change.duplicate is None else units.format_fraction(change.duplicate),
        "corrupt": None if change.corrupt is None else units.format_fraction(change.corrupt),
    }
    return [f"{key}={value}" for key, value in spelled.items() if value is not None]
