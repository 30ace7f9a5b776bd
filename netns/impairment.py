"""The impairments of a wire (delay, jitter, loss, reordering, duplication, corruption) and the distributions
of jitter.

Both engines draw a packet's jitter from the same tables, in netem's format. The kernel gets the table with
every change, the relay when one of its lines first needs it.
"""

from __future__ import annotations

import functools
from array import array
from dataclasses import dataclass
from statistics import NormalDist, fmean, pstdev
from typing import Literal

from netns.delay_line import TABLE_SCALE
from netns.errors import SpecError

JitterDistribution = Literal["uniform", "normal", "pareto"]
DISTRIBUTIONS: tuple[JitterDistribution, ...] = ("uniform", "normal", "pareto")

_TABLE_SIZE = {"uniform": 1024, "normal": 4096, "pareto": 4096}
_PARETO_SHAPE = 3.0
"""Over 2: a Pareto distribution with a smaller shape has no standard deviation."""
_CUTS = 8
"""Cutting off a tail changes mean and standard deviation, and correcting those moves the tail. So both are
repeated until nothing changes any more."""
_TAIL = 32767 / TABLE_SCALE
"""The most by which a packet's delay can differ from the mean, in units of ``jitter_s``: the table's integers
have 16 bits."""


@dataclass(frozen=True, slots=True)
class BurstLoss:
    """The Gilbert-Elliott model of loss: a good and a bad state, with a possible transition at each packet,
    as in netem's ``gemodel``.

    ``enter`` is the probability of a transition from the good state to the bad one, ``leave`` that of the way
    back. ``loss_bad`` and ``loss_good`` are the probabilities that a packet is lost in these states. The
    state before the transition decides about the packet.

    Source: E. N. Gilbert, Bell System Technical Journal 39 (1960); E. O. Elliott, the same 42 (1963).
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
        """The model that loses the share ``mean_loss`` of all packets, in bursts of ``burst_packets`` on
        average. Every packet is lost in its bad state and none in the good one."""
        if not 0 < mean_loss < 1:
            raise SpecError(f"a mean burst loss of {mean_loss:g} is not between 0 and 1")
        if burst_packets < 1:
            raise SpecError(f"a burst of {burst_packets:g} packets is shorter than one")
        # A stay in the bad state is geometric with mean 1 / leave. In the long run the state is bad for the
        # share enter / (enter + leave) of the packets, which is mean_loss, solved for enter.
        leave = 1 / burst_packets
        return cls(enter=leave * mean_loss / (1 - mean_loss), leave=leave)

    @property
    def mean_loss(self) -> float:
        """The share of packets that are lost in the long run."""
        if not self.enter:  # always good, and the formula below would divide 0 by 0 if leave is 0 too
            return self.loss_good
        bad = self.enter / (self.enter + self.leave)
        return bad * self.loss_bad + (1 - bad) * self.loss_good


@dataclass(frozen=True, slots=True)
class Impairment:
    """The impairments of one direction. ``Shape`` says what each field means."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    jitter_distribution: JitterDistribution = "uniform"
    burst_loss: BurstLoss | None = None
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0

    def __bool__(self) -> bool:
        # A distribution alone does nothing to a packet.
        return self != Impairment(jitter_distribution=self.jitter_distribution)

    @property
    def longest_delay_s(self) -> float:
        """The longest time that a packet can be under way."""
        reach = 1.0 if self.jitter_distribution == "uniform" else _TAIL
        return self.delay_s + reach * self.jitter_s

    def describe(self) -> str:
        """The impairments in words. One that does nothing is left out."""
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

    ``uniform`` reaches from ``-jitter_s`` to ``jitter_s``. The other two have mean 0 and standard deviation
    ``jitter_s``, and are cut off at 4 ``jitter_s``. With ``pareto``, of shape 3, most packets are a little
    early and a few are very late.
    """
    size = _TABLE_SIZE[distribution]
    # The quantiles at the middles of equal steps: a uniformly drawn index gives the distribution.
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
    # The inverse of F(x) = 1 - x**-shape, for x of at least 1.
    return float((1 - at) ** (-1 / _PARETO_SHAPE))
