"""The specification of a lab: its nodes, their links to a common switch, and the shape of each direction.

All values are in wall units: bit/s, seconds, bytes. Each node has one link. A link has two directions, named
from its node: ``egress`` runs from the node to the switch, ``ingress`` from the switch to the node. A
bottleneck that many nodes share on their way to a server is therefore the server's ``ingress``.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from dataclasses import dataclass, fields
from typing import Literal, get_args

from netns.errors import SpecError
from netns.impairment import DISTRIBUTIONS, BurstLoss, Impairment, JitterDistribution, check_probability

Direction = Literal["egress", "ingress"]
EngineName = Literal["kernel", "relay", "simulated"]
EngineChoice = EngineName | Literal["auto"]
DIRECTIONS: tuple[Direction, Direction] = ("egress", "ingress")

ETHERNET_HEADER_BYTES = 14
MAX_LINKS = 1023
"""A Linux bridge has no more ports."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}")
RATE_RANGE_BPS = (8_000.0, 100e9)
MAX_DELAY_S = 60.0
"""The longest delay of a link, and the longest time that its queue takes to drain."""
MAX_QUEUE_BYTES = 2**31


def rate_text(bps: float) -> str:
    """A rate for people: ``rate_text(5e7) == "50 Mbit/s"``."""
    units = (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3))
    unit, factor = next((each for each in units if bps >= each[1]), ("bit/s", 1.0))
    return f"{bps / factor:.6g} {unit}"


def check_rate(bps: float) -> None:
    """Raises ``SpecError`` unless a link can have this rate."""
    low, high = RATE_RANGE_BPS
    if not low <= bps <= high:
        raise SpecError(f"rate_bps={bps:g} is outside {rate_text(low)} to {rate_text(high)}")


def _check_number(name: str, value: object) -> None:
    # For Python a bool is an int, and True would be a rate of 1 bit/s.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise SpecError(f"{name}={value!r} is not a finite number")


@dataclass(frozen=True, slots=True)
class Shape:
    """One direction of a link.

    ``rate_bps`` counts Ethernet frames without preamble and checksum; None means as fast as the host. The
    queue before the rate limit holds ``queue_bytes``, or the bytes of ``queue_s`` seconds at the rate, and
    then follows a rate that is changed later. Without either it is 0.1 s long. It always holds two frames.

    ``delay_s`` is the mean one-way delay. The delay of each packet differs from it by a random value with the
    scale ``jitter_s``, drawn from ``jitter_distribution`` (see ``impairment.jitter_table``). Packets keep
    their order all the same. ``reorder`` is the probability that a packet skips the delay and so overtakes
    those before it. ``loss``, ``duplicate`` and ``corrupt`` (one bit of the frame is inverted) are
    probabilities per packet, independent of each other. ``burst_loss`` takes the place of ``loss``.

    Raises: ``SpecError`` for values that no link can have.
    """

    rate_bps: float | None = None
    queue_s: float | None = None
    queue_bytes: int | None = None
    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    jitter_distribution: JitterDistribution = "uniform"
    burst_loss: BurstLoss | None = None
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0

    def __post_init__(self) -> None:
        for name in ("rate_bps", "queue_s", "queue_bytes"):
            if getattr(self, name) is not None:
                _check_number(name, getattr(self, name))
        self._check_rate_and_queue()
        self._check_delay()
        for name in ("loss", "reorder", "duplicate", "corrupt"):
            check_probability(name, getattr(self, name))
        if self.burst_loss is not None and self.loss:
            raise SpecError("give loss or burst_loss, not both")

    def _check_rate_and_queue(self) -> None:
        if self.rate_bps is not None:
            check_rate(self.rate_bps)
        if self.queue_s is not None and self.queue_bytes is not None:
            raise SpecError("give queue_s or queue_bytes, not both")
        if self.queue_bytes is not None and not 0 < self.queue_bytes <= MAX_QUEUE_BYTES:
            raise SpecError(f"queue_bytes={self.queue_bytes} is outside 1 to {MAX_QUEUE_BYTES}")
        if self.queue_s is not None and not 0 < self.queue_s <= MAX_DELAY_S:
            raise SpecError(f"queue_s={self.queue_s:g} is outside 0 to {MAX_DELAY_S:g} s")
        # Each of the two may be in its range while their product is not.
        if (self.queue_s or 0) * (self.rate_bps or 0) / 8 > MAX_QUEUE_BYTES:
            raise SpecError(f"a queue of {self.queue_s:g} s at {rate_text(self.rate_bps or 0)} is over 2 GiB")

    def _check_delay(self) -> None:
        for name in ("delay_s", "jitter_s"):
            _check_number(name, getattr(self, name))
        if not 0 <= self.delay_s <= MAX_DELAY_S:
            raise SpecError(f"delay_s={self.delay_s:g} is outside 0 to {MAX_DELAY_S:g} s")
        if not 0 <= self.jitter_s <= self.delay_s:
            raise SpecError(
                f"jitter_s={self.jitter_s:g} must be between 0 and delay_s={self.delay_s:g}: "
                "no packet arrives before it was sent"
            )
        if self.jitter_distribution not in DISTRIBUTIONS:
            known = ", ".join(DISTRIBUTIONS)
            raise SpecError(f"jitter_distribution={self.jitter_distribution!r} is none of {known}")
        if self.reorder and not self.delay_s:
            raise SpecError("reorder needs a delay_s: it lets a packet overtake those that are delayed")

    @property
    def impairment(self) -> Impairment:
        """All but the rate and its queue. The engine provides these, and htb provides the rate on the
        kernel and relay engines."""
        return Impairment(**{item.name: getattr(self, item.name) for item in fields(Impairment)})


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """A node and its link.

    A link that starts without delay, loss and the like can get them later only with ``live_impairments``.
    Such a link costs CPU time per packet, most of all on the relay engine.
    """

    name: str
    egress: Shape = Shape()
    ingress: Shape = Shape()
    live_impairments: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SpecError(
                f"node name {self.name!r} must be a letter followed by at most 31 letters, "
                "digits, '_', '-' or '.'"
            )

    @property
    def impaired(self) -> bool:
        """True if the link's wire must be able to delay or lose packets."""
        return self.live_impairments or bool(self.egress.impairment) or bool(self.ingress.impairment)


@dataclass(frozen=True, slots=True)
class LabSpec:
    """A whole lab: a star of links around one switch.

    ``engine`` delays and loses packets. It is ``kernel`` (netem), ``relay`` (a process), or ``auto``: the
    kernel where it can do all that the links need, else the relay. ``simulated`` has neither namespaces nor
    sockets, and needs nothing of the host. ``seed`` makes losses and jitter repeatable on the relay and on
    simulated links.

    Raises: ``SpecError`` for duplicate names, too many links, or a subnet that is too small.
    """

    links: tuple[LinkSpec, ...]
    engine: EngineChoice = "auto"
    seed: int = 0
    subnet: str = "10.77.0.0/16"
    mtu_bytes: int = 1500

    def __post_init__(self) -> None:
        if not 1 <= len(self.links) <= MAX_LINKS:
            raise SpecError(f"a lab has 1 to {MAX_LINKS} links, not {len(self.links)}")
        repeated = [name for name, count in Counter(link.name for link in self.links).items() if count > 1]
        if repeated:
            raise SpecError(f"every node has one link; named more than once: {', '.join(repeated)}")
        engines = ("auto", *get_args(EngineName))
        if self.engine not in engines:
            raise SpecError(f"engine {self.engine!r} is none of {', '.join(engines)}")
        if not 576 <= self.mtu_bytes <= 9000:
            raise SpecError(f"mtu_bytes={self.mtu_bytes} is outside 576 to 9000")
        # The first and the last address of a subnet belong to no node: network and broadcast.
        if self.network.num_addresses - 2 < len(self.links):
            raise SpecError(f"subnet {self.subnet} has too few addresses for {len(self.links)} nodes")

    @property
    def network(self) -> ipaddress.IPv4Network:
        """The subnet that all nodes share. Raises: ``SpecError`` if ``subnet`` is not one."""
        try:
            return ipaddress.IPv4Network(self.subnet)
        except ValueError as error:
            raise SpecError(f"subnet: {error}") from None
