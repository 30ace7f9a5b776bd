"""From GPU shares to bandwidth shares (paper section 3.2.2).

``gaimd_alpha`` is what each camera sets, knowing only its own group. ``weighted_max_min`` is what all of them
together should then get: the yardstick a run's goodput is held against.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

AlphaMapping = Literal["linear", "root", "auto"]

_EXPONENTS: dict[AlphaMapping, float] = {"linear": 1.0, "root": 2.0, "auto": 1.0}

ALPHA_SUM = 3.0
"""Additive increase of all streaming cameras together, packets per round-trip time.

More means that shares settle sooner after (c_j, p_j) change, and more loss. At 6 Mbit/s with a 200 ms
queue 3 settles within a 20 s window, 0.3 would take two minutes (docs/notes/algorithms.md has the table).
"""
MIN_ALPHA = 0.01
"""Below this a flow would no longer notice bandwidth that comes free."""


def gaimd_alpha(
    p: float,
    members: int,
    *,
    alpha_sum: float = ALPHA_SUM,
    mapping: AlphaMapping = "linear",
    min_alpha: float = MIN_ALPHA,
) -> float:
    """A camera's additive increase, alpha = alpha_sum * p_j / n_j, in packets per round-trip time.

    With ``linear`` (the paper's) the alphas of all cameras sum to ``alpha_sum``, since the p_j sum to 1.
    ``root`` squares the weight p_j / n_j, for paths where throughput grows with the root of alpha. ``auto``
    begins as ``linear``; the transport changes alpha as the server reports what share was had.
    """
    if not 0 <= p <= 1 or members < 1:
        raise ValueError(f"a share is in [0, 1] and a group has members, got p={p}, members={members}")
    weight: float = (p / members) ** _EXPONENTS[mapping]
    return max(min_alpha, alpha_sum * weight)


def weighted_max_min(capacity: float, weights: Sequence[float], caps: Sequence[float]) -> list[float]:
    """Rates of flows that share ``capacity`` in proportion to ``weights``, none above its cap.

    What a capped flow cannot use the others divide by their weights (water-filling). Rates, caps and
    capacity share one unit; a cap may be infinite; a flow of weight 0 gets nothing. The rates sum to
    min(capacity, sum of the caps of flows with weight). Raises ``ValueError`` for negative numbers.
    """
    if len(weights) != len(caps):
        raise ValueError(f"{len(weights)} weights but {len(caps)} caps")
    if not all(math.isfinite(value) and value >= 0 for value in (capacity, *weights)):
        raise ValueError("capacity and weights must be finite and not negative")
    if not all(cap >= 0 for cap in caps):
        raise ValueError("caps must not be negative")
    rates = [0.0] * len(weights)
    open_flows = [index for index, weight in enumerate(weights) if weight > 0]
    # The flow that fills first is the one with the least room per weight.
    open_flows.sort(key=lambda index: caps[index] / weights[index])
    left = capacity
    weight_left = math.fsum(weights[index] for index in open_flows)
    for position, index in enumerate(open_flows):
        share = left * (weights[index] / weight_left) if weight_left > 0 else left
        rates[index] = min(caps[index], share)
        left = max(0.0, left - rates[index])
        weight_left = math.fsum(weights[other] for other in open_flows[position + 1 :])
    return rates
