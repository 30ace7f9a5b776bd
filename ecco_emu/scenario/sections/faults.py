"""``faults``: things that go wrong, each at its time."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field, model_validator

from ecco_emu.core.faults import (
    SHARED_LINKS,
    LinkBlackhole,
    LinkChange,
    LinkCliff,
    LinkDown,
    LinkSet,
    LinkUp,
    LossBursts,
    NetworkPartition,
)
from ecco_emu.scenario.sections.base import Fraction, Strict, Time, Whole
from ecco_emu.scenario.sections.network import BurstLossSection, LinkDelay, LinkJitter, LinkRate, either_loss


class DownSection(Strict):
    """The link carries nothing in either direction."""

    for_: Annotated[Time, Field(gt=0)] | None = Field(default=None, alias="for")
    """How long; without it, until an ``up`` or the end of the run."""


def _bare_down(value: object) -> object:
    return {} if value is True else value


class FlapSection(Strict):
    """The link goes down and up, over and over: ``times``, or as long as ``for``."""

    down: Annotated[Time, Field(gt=0)]
    """How long it is down each time."""
    up: Annotated[Time, Field(gt=0)]
    """How long it is up in between."""
    times: Annotated[Whole, Field(ge=1, le=1000)] | None = None
    """How many times it goes down."""
    for_: Annotated[Time, Field(gt=0)] | None = Field(default=None, alias="for")
    """How long the flap goes on; the link is up afterwards."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.times is None) == (self.for_ is None):
            raise ValueError("a flap has exactly one of: times, for")
        return self


class CliffSection(Strict):
    """The link's rate is capped for a time, whatever a ``set`` or a trace says."""

    rate: LinkRate
    """The highest rate that the link has meanwhile."""
    for_: Annotated[Time, Field(gt=0)] | None = Field(default=None, alias="for")
    """How long; without it, until the end of the run."""


class PartitionSection(Strict):
    """Nodes of different sets do not reach each other; no node gets a signal of it."""

    sets: Annotated[tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...], Field(min_length=2)]
    """Two or more lists of cameras and ``server``; a node that is in no list reaches all nodes."""
    for_: Annotated[Time, Field(gt=0)] | None = Field(default=None, alias="for")
    """How long; without it, until the end of the run."""


class BlackholeSection(Strict):
    """Packets vanish in one direction only; no node gets a signal of it."""

    direction: Literal["up", "down"] = "up"
    """``up``: packets from the camera; ``down``: packets to it. A shared link has only one direction."""
    for_: Annotated[Time, Field(gt=0)] | None = Field(default=None, alias="for")
    """How long; without it, until the end of the run."""


class SetShapeSection(Strict):
    """The link changes, for good or until the next ``set``. A key that is left out stays as it is."""

    rate: LinkRate | None = None
    """The new capacity."""
    delay: LinkDelay | None = None
    """The new propagation delay; of a camera's uplink, both ways."""
    jitter: LinkJitter | None = None
    """How much the delay varies from now on."""
    loss: Fraction | None = None
    """Packets lost at random, in place of those lost in bursts."""
    burst_loss: BurstLossSection | None = None
    """Packets lost in bursts, in place of those lost at random."""
    duplicate: Fraction | None = None
    """Packets that arrive twice."""
    corrupt: Fraction | None = None
    """Packets of which one bit arrives inverted."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"changes nothing; give one of: {', '.join(type(self).model_fields)}")
        nothing = sorted(key for key in self.model_fields_set if getattr(self, key) is None)
        if nothing:
            raise ValueError(f"{', '.join(nothing)}: nothing is given; leave out what is to stay")
        either_loss(self.loss, self.burst_loss)
        return self

    def of(self, on: str) -> LinkSet:
        """This change as one of the link ``on``."""
        bursts = self.burst_loss
        return LinkSet(
            on,
            rate_bps=self.rate,
            delay_s=self.delay,
            jitter_s=self.jitter,
            loss=self.loss,
            burst_loss=None if bursts is None else LossBursts(bursts.mean, bursts.packets),
            duplicate=self.duplicate,
            corrupt=self.corrupt,
        )


FaultKind = Literal["down", "up", "flap", "cliff", "partition", "blackhole", "set"]


FAULT_KINDS: tuple[FaultKind, ...] = ("down", "up", "flap", "cliff", "partition", "blackhole", "set")


def _with_link(schema: dict[str, Any]) -> None:
    """Shows editors the second name of ``on``."""
    schema["properties"]["link"] = {"type": "string", "description": "The same as ``on``."}


class FaultSection(Strict):
    """Something that goes wrong at a time: exactly one of the kinds below."""

    model_config = ConfigDict(json_schema_extra=_with_link)

    at: Annotated[Time, Field(ge=0)]
    """When it starts."""
    on: Annotated[str | None, Field(validation_alias=AliasChoices("on", "link"))] = None
    """A camera's id (its uplink, both directions), ``bottleneck`` or ``downlink``; a partition has none. It
    may be written ``link``: editors that know YAML 1.1 take ``on`` for true."""
    down: Annotated[DownSection | None, BeforeValidator(_bare_down)] = None
    """Cut the link; ``{for: 5s}`` mends it by itself."""
    up: Literal[True] | None = None
    """Mend a link that is down."""
    flap: FlapSection | None = None
    """Cut and mend the link over and over."""
    cliff: CliffSection | None = None
    """Cap the link's rate for a time."""
    partition: PartitionSection | None = None
    """Separate sets of nodes."""
    blackhole: BlackholeSection | None = None
    """Lose everything in one direction."""
    set: SetShapeSection | None = None
    """Change the link's rate, delay, jitter or loss."""

    @model_validator(mode="before")
    @classmethod
    def _one_name(cls, data: object) -> object:
        if isinstance(data, dict) and "on" in data and "link" in data:
            raise ValueError("'on' and 'link' mean the same: give one of them")
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in FAULT_KINDS) != 1:
            raise ValueError(f"a fault does exactly one of: {', '.join(FAULT_KINDS)}")
        if self.partition is not None and self.on is not None:
            raise ValueError("a partition is between sets of nodes: leave out 'on'")
        if self.partition is None and self.on is None:
            raise ValueError("is on no link: give 'on' (a camera's id, bottleneck or downlink)")
        return self

    @property
    def kind(self) -> FaultKind:
        return next(kind for kind in FAULT_KINDS if getattr(self, kind) is not None)

    @property
    def change(self) -> LinkChange:
        """The change that its start makes to the network; a flap makes it at each of its starts."""
        if self.partition is not None:
            return NetworkPartition(self.partition.sets)
        assert self.on is not None
        if self.up:
            return LinkUp(self.on)
        if self.set is not None:
            return self.set.of(self.on)
        if self.cliff is not None:
            return LinkCliff(self.on, self.cliff.rate)
        if self.blackhole is not None:
            return LinkBlackhole(self.on, self._towards(self.blackhole.direction))
        # a ``down``, or one turn of a flap
        return LinkDown(self.on)

    def _towards(self, asked: Literal["up", "down"]) -> Literal["up", "down"]:
        """The direction in which packets vanish. A shared link has only one, whatever ``asked`` says."""
        if self.on in SHARED_LINKS:
            return "up" if self.on == "bottleneck" else "down"
        return asked
