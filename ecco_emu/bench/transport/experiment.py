"""One experiment: flows with weights that share a bottleneck, and at most one change while they do. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ecco_emu.control.shares import ALPHA_SUM, AlphaMapping

Protocol = Literal["ecco-emu", "aioquic", "reno", "cubic"]
"""The transports whose cost is compared: ours, aioquic, and the kernel's TCP with two congestion controls."""
PROTOCOLS: tuple[Protocol, ...] = ("ecco-emu", "aioquic", "reno", "cubic")
Way = Literal["simulated", "real"]
"""The kind of links: in virtual time, or kernel queues between network namespaces."""

HEADERS_BYTES = 42
"""Ethernet, IPv4 and UDP headers. The bottleneck carries them with each datagram."""
PACKET_BYTES = 1200
"""UDP payload of a full packet."""
HOST_BPS = 100e9
"""Stands for loopback, which has no rate limit."""
UPLINK_QUEUE_S = 0.2
"""The length of the queue of a flow's own uplink, if the uplink has a rate limit."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Flows that always have something to send, through one drop-tail queue towards one receiver.

    One value per flow: ``weights`` (relative), ``rtts_s`` (there and back, without queueing) and
    ``uplinks_bps`` (the rate of the flow's own link; None: no limit). ``rate_bps`` is the bottleneck's; both
    rates are of Ethernet frames. ``queue_s`` is the time in which the full queue drains. ``loss`` is the
    probability that a packet is lost at random, each way, before it reaches the queue. Goodput counts in the
    ``measure_s`` after ``warmup_s``. ``alpha_sum`` is the sum of all flows' alphas; with None it is the sum
    that ``gaimd.proportional_alpha_sum`` proposes for this bottleneck.

    Raises: ``ValueError`` for values that describe no such link.
    """

    weights: tuple[float, ...]
    rate_bps: float
    queue_s: float
    rtts_s: tuple[float, ...]
    loss: float = 0.0
    uplinks_bps: tuple[float | None, ...] | None = None
    mapping: AlphaMapping = "linear"
    alpha_sum: float | None = ALPHA_SUM
    seed: int = 0
    warmup_s: float = 20.0
    measure_s: float = 60.0

    def __post_init__(self) -> None:
        flows = len(self.weights)
        if not flows or not all(weight > 0 and math.isfinite(weight) for weight in self.weights):
            raise ValueError("a cell has flows, and each a positive weight")
        if len(self.rtts_s) != flows or len(self.uplinks) != flows:
            raise ValueError(f"{flows} weights, so as many round trips and uplinks")
        if not (self.rate_bps > 0 and self.queue_s > 0 and self.measure_s > 0 and self.warmup_s >= 0):
            raise ValueError("rate, queue and times must be positive")
        if not 0 <= self.loss < 1:
            raise ValueError(f"loss is a probability below 1, got {self.loss}")

    @property
    def uplinks(self) -> tuple[float | None, ...]:
        return self.uplinks_bps if self.uplinks_bps is not None else (None,) * len(self.weights)

    @property
    def queue_bytes(self) -> float:
        return self.rate_bps * self.queue_s / 8

    @property
    def duration_s(self) -> float:
        return self.warmup_s + self.measure_s


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a cell ``at_s`` after its flows began: of exactly one of the three fields below.

    Raises: ``ValueError`` for none of them or for several.
    """

    at_s: float
    weights: tuple[float, ...] | None = None
    """The flows' new weights."""
    rate_bps: float | None = None
    """The bottleneck's new rate; its queue stays as long in seconds."""
    outage_s: float | None = None
    """For so long nothing passes the bottleneck, in either direction."""

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.weights, self.rate_bps, self.outage_s)) != 1:
            raise ValueError("a change is of the weights, of the rate, or an outage")


@dataclass(frozen=True, slots=True)
class Experiment:
    """A cell under a name. ``group`` is the part of the benchmark. ``label`` names the experiment within its
    group. It is the same for every mapping and seed: tables put the figures of one label side by side."""

    group: str
    label: str
    cell: Cell
    change: Change | None = None
