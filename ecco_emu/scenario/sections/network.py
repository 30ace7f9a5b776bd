"""``network``: the links, and the keys of its uplink that a camera overrides."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from ecco_emu.scenario.sections.base import Fraction, Number, Rate, Strict, Time

LinkRate = Annotated[Rate, Field(ge=8e3, le=100e9)]
LinkDelay = Annotated[Time, Field(ge=0, le=60)]
LinkJitter = Annotated[Time, Field(ge=0, le=10)]
LinkQueue = Annotated[Time, Field(gt=0, le=60)]
# The link lab's own limits, here in emulated units: whether a link fits at a run's dilation is found by
# ``emulation.limits``.


class BurstLossSection(Strict):
    """Losses that come in bursts (the two-state model of Gilbert and Elliott)."""

    mean: Annotated[Fraction, Field(gt=0, lt=1)]
    """Packets lost in the long run, of all packets."""
    packets: Annotated[Number, Field(ge=1, le=1e6)]
    """How many packets in a row a burst loses on average."""


class LinkTraceSection(Strict):
    """A file with a link's rate over time, and its delay and loss where the file has them."""

    file: str
    """A trace in profiles/links/, or a path to a file in Mahimahi's format or in CSV."""
    loop: bool = True
    """Start the trace again at its end; if false, the link stays as it is at the trace's end."""
    start: Annotated[Time, Field(ge=0)] = 0.0
    """The point of the trace at which the link begins, so that cameras need not all fade together."""


def _bare_trace(value: object) -> object:
    return {"file": value} if isinstance(value, str) else value


class ShapeSection(Strict):
    """One direction of a link."""

    rate: LinkRate | None = None
    """Capacity; null: not limited."""
    delay: LinkDelay = 0.0
    """Propagation delay, one way."""
    jitter: LinkJitter = 0.0
    """The delay varies by as much as this either way; packets keep their order."""
    jitter_distribution: Literal["uniform", "normal", "pareto"] = "uniform"
    """How the delay varies. For ``normal`` and ``pareto`` the jitter is the standard deviation."""
    loss: Fraction = 0.0
    """Packets lost at random."""
    burst_loss: BurstLossSection | None = None
    """Packets lost in bursts, in place of ``loss``."""
    reorder: Fraction = 0.0
    """Packets that skip the delay and so overtake others."""
    duplicate: Fraction = 0.0
    """Packets that arrive twice."""
    corrupt: Fraction = 0.0
    """Packets of which one bit arrives inverted, which a checksum then finds."""
    queue: LinkQueue | None = None
    """How long a full queue takes to drain at ``rate``; null: the engine's usual queue."""
    trace: Annotated[
        LinkTraceSection | None,
        BeforeValidator(_bare_trace, json_schema_input_type=LinkTraceSection | str | None),
    ] = None
    """A trace that the rate follows: a name or path, or a mapping."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.jitter > self.delay:
            raise ValueError("jitter cannot be larger than delay: a packet cannot arrive before it left")
        if self.reorder and not self.delay:
            raise ValueError("reorder needs a delay: it lets packets overtake those that are delayed")
        either_loss(self.loss, self.burst_loss)
        return self


def either_loss(loss: float | None, burst: BurstLossSection | None) -> None:
    """Raises ``ValueError`` when both kinds of loss are given: a link has one model of loss."""
    if loss and burst is not None:
        raise ValueError("a link has loss or burst_loss, not both")


class UplinkSection(ShapeSection):
    """A camera's own link to the switch."""

    rate: LinkRate | None = 4e6
    """Capacity; null: not limited."""
    delay: LinkDelay = 5e-3
    """Propagation delay, one way."""


class CameraUplinkSection(UplinkSection):
    """The keys of one camera's uplink that differ from network.uplink; only keys that are given count."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        # the parent's checks wait for ``semantics``: the delay may come from network.uplink, not from here
        either_loss(self.loss, self.burst_loss)
        return self

    def over(self, default: UplinkSection) -> UplinkSection:
        """The whole uplink: ``default`` with the keys that are given here."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        # a link has one kind of loss: one that is given here takes the place of the default's other kind
        if given.get("burst_loss") is not None:
            given.setdefault("loss", 0.0)
        if given.get("loss"):
            given.setdefault("burst_loss", None)
        return default.model_copy(update=given)


class BottleneckSection(ShapeSection):
    """The link that every camera's video crosses."""

    rate: LinkRate | None = 6e6
    """Capacity; null: not limited."""
    delay: LinkDelay = 10e-3
    """Propagation delay, one way."""
    queue: LinkQueue | None = 0.2
    """How long a full queue takes to drain at ``rate``; null: the engine's usual queue."""


class DownlinkSection(ShapeSection):
    """The link back, which carries acknowledgements, assignments and students."""

    rate: LinkRate | None = 50e6
    """Capacity; null: not limited."""
    delay: LinkDelay = 5e-3
    """Propagation delay, one way."""
    queue: LinkQueue | None = 0.2
    """How long a full queue takes to drain at ``rate``; null: the engine's usual queue."""


Engine = Literal["auto", "kernel", "relay", "simulated"]


class NetworkSection(Strict):
    """The links: each camera's uplink, the shared bottleneck to the server, and the way back."""

    engine: Engine = "auto"
    """The engine that makes delay and loss: ``kernel`` (netem), ``relay`` (a process); ``auto`` is the kernel
    where it has netem for all links. ``simulated`` needs no root: links and clock are simulated, and
    ``clock.dilation`` means nothing."""
    bottleneck: BottleneckSection = BottleneckSection()
    """Switch to server, shared by every camera."""
    uplink: UplinkSection = UplinkSection()
    """Camera to switch; the default for every camera. The way back has its delay and loss."""
    downlink: DownlinkSection = DownlinkSection()
    """Server to switch, shared by every camera."""
