"""What a wire does to packets besides limiting their rate, and the distributions of jitter.

Both engines take a packet's jitter from the same tables, in netem's format: the kernel gets the table
with every change, the relay when a line first needs it.
"""

from __future__ import annotations

import functools
from array import array
from dataclasses import dataclass
from statistics import NormalDist, fmean, pstdev
from typing import Literal

from netns.errors import SpecError
from netns.relay.delay_line import TABLE_SCALE

JitterDistribution = Literal["uniform", "normal", "pareto"]
DISTRIBUTIONS: tuple[JitterDistribution, ...] = ("uniform", "normal", "pareto")

_TABLE_SIZE = {"uniform": 1024, "normal": 4096, "pareto": 4096}
_PARETO_SHAPE = 3.0
_CUTS = 8
"""Cutting a tail changes mean and deviation, and setting those right moves the tail: they meet."""
_TAIL = 32767 / TABLE_SCALE
"""How many ``jitter_s`` from the mean a packet can be at most: the table's integers have 16 bits."""


@dataclass(frozen=True, slots=True)
class BurstLoss:
    """Gilbert and Elliott's two states, drawn anew for each packet, as netem's ``gemodel`` does.

    ``enter`` is the probability to go from the good state to the bad one, ``leave`` the way back, and
    ``loss_bad`` and ``loss_good`` those that a packet is lost in each. A packet's fate is that of
    the state before its transition.

    Raises: ``SpecError`` for values that are no probabilities.
    """

    enter: float
    leave: float
    loss_bad: float = 1.0
    loss_good: float = 0.0

    def __post_init__(self) -> None:
        for name in ("enter", "leave", "loss_bad", "loss_good"):
            check_probability(f"burst loss {name}", getattr(self, name))
        if self.enter and not self.leave:
            raise SpecError("burst loss with leave=0 never ends: use loss=1")

    @classmethod
    def of(cls, mean_loss: float, burst_packets: float) -> BurstLoss:
        """The model that loses ``mean_loss`` of all packets, in bursts of ``burst_packets`` on average."""
        if not 0 < mean_loss < 1:
            raise SpecError(f"a mean burst loss of {mean_loss:g} is not between 0 and 1")
        if burst_packets < 1:
            raise SpecError(f"a burst of {burst_packets:g} packets is shorter than one")
        leave = 1 / burst_packets
        return cls(enter=leave * mean_loss / (1 - mean_loss), leave=leave)

    @property
    def mean_loss(self) -> float:
        """The share of packets that are lost in the long run."""
        if not self.enter:
            return self.loss_good
        bad = self.enter / (self.enter + self.leave)
        return bad * self.loss_bad + (1 - bad) * self.loss_good


@dataclass(frozen=True, slots=True)
class Impairment:
    """One direction's impairments; ``Shape`` says what each means."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    jitter_distribution: JitterDistribution = "uniform"
    burst_loss: BurstLoss | None = None
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0

    def __bool__(self) -> bool:
        return self != Impairment(jitter_distribution=self.jitter_distribution)

    @property
    def longest_delay_s(self) -> float:
        """The longest a packet can be under way."""
        reach = 1.0 if self.jitter_distribution == "uniform" else _TAIL
        return self.delay_s + reach * self.jitter_s

    def describe(self) -> str:
        """In words, what is there only."""
        parts = []
        if self.delay_s:
            parts.append(f"delay {self.delay_s * 1e3:g} ms")
        if self.jitter_s:
            parts.append(f"jitter {self.jitter_s * 1e3:g} ms {self.jitter_distribution}")
        if self.burst_loss is not None:
            burst = self.burst_loss
            parts.append(
                f"burst loss {burst.enter:g} in, {burst.leave:g} out "
                f"({burst.loss_good:g} and {burst.loss_bad:g} lost)"
            )
        for name in ("loss", "reorder", "duplicate", "corrupt"):
            if getattr(self, name):
                parts.append(f"{name} {100 * getattr(self, name):g} %")
        return ", ".join(parts) or "nothing yet"


def check_probability(name: str, value: float) -> None:
    """Raises ``SpecError`` unless ``value`` is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise SpecError(f"{name}={value!r} is not a probability: 0 to 1")


@functools.cache
def jitter_table(distribution: JitterDistribution) -> array[int]:
    """Deviations from the mean delay, all equally likely, in units of ``jitter_s / TABLE_SCALE``.

    ``uniform`` reaches one ``jitter_s`` to both sides. The others have mean 0 and standard deviation
    ``jitter_s`` and are cut off at 4 of it: ``normal``, and ``pareto`` with shape 3, whose packets are
    mostly a little early and now and then very late.
    """
    size = _TABLE_SIZE[distribution]
    values = [_quantile(distribution, (index + 0.5) / size) for index in range(size)]
    if distribution != "uniform":
        for _ in range(_CUTS):
            mean, deviation = fmean(values), pstdev(values)
            values = [max(-_TAIL, min(_TAIL, (value - mean) / deviation)) for value in values]
    return array("h", (round(value * TABLE_SCALE) for value in values))


def _quantile(distribution: JitterDistribution, at: float) -> float:
    if distribution == "uniform":
        return 2 * at - 1
    if distribution == "normal":
        return NormalDist().inv_cdf(at)
    return float((1 - at) ** (-1 / _PARETO_SHAPE))
