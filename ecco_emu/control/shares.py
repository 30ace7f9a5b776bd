"""From GPU shares to bandwidth shares (paper section 3.2.2).

``gaimd_alpha`` is the additive increase that a camera sets, knowing only its own group. ``weighted_max_min``
computes the rates that all cameras together should then get: a run's goodput is compared with them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

AlphaMapping = Literal["linear", "root", "auto"]

# GAIMD's throughput is proportional to alpha as long as every flow sees every congestion event, as at a
# drop-tail queue that is deep enough. Where each packet is equally likely to be lost (random loss, short
# queues, many slow flows), it goes with the root of alpha, and ``root`` makes up for that by squaring.
_EXPONENTS: dict[AlphaMapping, float] = {"linear": 1.0, "root": 2.0, "auto": 1.0}

ALPHA_SUM = 3.0
"""Additive increase of all streaming cameras together, packets per round-trip time.

More means that shares settle sooner after (c_j, p_j) change, and more loss. At 6 Mbit/s with a 200 ms
queue 3 settles within a 20 s window, 0.3 would take two minutes (docs/notes/algorithms.md has the table).
"""
MIN_ALPHA = 0.01
"""A flow with a smaller increase hardly notices bandwidth that becomes free: with this one, packets of 1200
bytes and a round trip of 240 ms, 1 Mbit/s more takes ten minutes."""


def gaimd_alpha(
    p: float,
    members: int,
    *,
    alpha_sum: float = ALPHA_SUM,
    mapping: AlphaMapping = "linear",
    min_alpha: float = MIN_ALPHA,
) -> float:
    """A camera's additive increase, alpha = alpha_sum * p_j / n_j, in packets per round-trip time.

    The formula is the paper's (section 3.2.2); ``alpha_sum`` is its factor of proportion. With ``linear``
    (the paper's) the alphas of all cameras sum to ``alpha_sum``, since the p_j sum to 1. ``root`` squares the
    weight p_j / n_j, for paths where throughput grows with the root of alpha. ``auto`` begins as ``linear``;
    later the transport adjusts alpha by the share that the server reports to the camera. Raises
    ``ValueError`` for a ``p`` outside [0, 1] or a group without members.
    """
    if not 0 <= p <= 1 or members < 1:
        raise ValueError(f"a share is in [0, 1] and a group has members, got p={p}, members={members}")
    weight: float = (p / members) ** _EXPONENTS[mapping]
    return max(min_alpha, alpha_sum * weight)


def weighted_max_min(capacity: float, weights: Sequence[float], caps: Sequence[float]) -> list[float]:
    """Rates of flows that share ``capacity`` in proportion to ``weights``, none above its cap.

    The capacity that a capped flow cannot use is divided among the others by their weights (water-filling;
    the paper's Fig. 11 shows the case). Rates, caps and capacity share one unit; a cap may be infinite; a
    flow of weight 0 gets nothing. The rates sum to min(capacity, sum of the caps of flows with weight).
    Raises ``ValueError`` for negative numbers.
    """
    if len(weights) != len(caps):
        raise ValueError(f"{len(weights)} weights but {len(caps)} caps")
    if not all(math.isfinite(value) and value >= 0 for value in (capacity, *weights)):
        raise ValueError("capacity and weights must be finite and not negative")
    if not all(cap >= 0 for cap in caps):
        raise ValueError("caps must not be negative")
    rates = [0.0] * len(weights)
    open_flows = [index for index, weight in enumerate(weights) if weight > 0]
    # In the order in which flows fill up as the water rises: by room per weight. So each flow's share can be
    # decided once, and whatever a full flow leaves goes to flows that come after it.
    open_flows.sort(key=lambda index: caps[index] / weights[index])
    left = capacity
    weight_left = math.fsum(weights[index] for index in open_flows)
    for position, index in enumerate(open_flows):
        share = left * (weights[index] / weight_left) if weight_left > 0 else left
        rates[index] = min(caps[index], share)
        left = max(0.0, left - rates[index])
        # Summed anew rather than subtracted from: after many subtractions the last flows' small weights
        # would be mostly rounding error.
        weight_left = math.fsum(weights[other] for other in open_flows[position + 1 :])
    return rates
