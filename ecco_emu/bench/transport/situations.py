"""Experiments beside the share matrix: the situation of the paper's Figure 11, and changes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ecco_emu.bench.transport.experiment import Cell, Change, Experiment
from ecco_emu.bench.transport.matrix import EQUAL_RTT_S, flow_weights
from ecco_emu.control.shares import AlphaMapping

FIG11_SHARES = (3, 5, 2)
"""GPU shares of the groups A, B and C, of two cameras each."""
FIG11_RATES_BPS = (3e6, 6e6, 12e6)
FIG11_CAPPED = 0.5
"""The rate of each uplink of group A, as a fraction of its camera's share of the bottleneck."""
QUEUE_S = 0.2

CHANGE_RATE_BPS = 12e6
STEP_RATE_BPS = 3e6
OUTAGE_S = 5.0
RESPONSE_TARGETS_S = {"weights": 10.0, "rate": 5.0, "outage": 1.0 + 2 * EQUAL_RTT_S}
"""The longest time in which flows should follow a change, by its kind. After an outage: a second, and two
round trips."""


def fig11(
    mappings: Sequence[AlphaMapping], seeds: int, warmup_s: float = 20.0, measure_s: float = 60.0
) -> list[Experiment]:
    """Six cameras in three groups. The uplinks of the two in group A are too slow for their shares, so the
    other four should share the rest by weight."""
    weights = flow_weights(FIG11_SHARES, 6)
    return [
        Experiment(
            "fig11",
            f"3:5:2, A capped, {rate_bps / 1e6:g} Mbit/s, queue {QUEUE_S * 1e3:g} ms",
            Cell(
                weights,
                rate_bps,
                QUEUE_S,
                (EQUAL_RTT_S,) * 6,
                uplinks_bps=_capped(weights, rate_bps),
                mapping=mapping,
                seed=seed,
                warmup_s=warmup_s,
                measure_s=measure_s,
            ),
        )
        for seed in range(seeds)
        for rate_bps in FIG11_RATES_BPS
        for mapping in mappings
    ]


def _capped(weights: Sequence[float], rate_bps: float) -> tuple[float | None, ...]:
    cap = FIG11_CAPPED * rate_bps * weights[0] / sum(weights)
    return (cap, cap, *(None,) * (len(weights) - 2))


def convergence(
    mappings: Sequence[AlphaMapping], seeds: int, warmup_s: float = 20.0, after_s: float = 30.0
) -> list[Experiment]:
    """Three flows of weights 5:3:2 settle for ``warmup_s``; then one thing changes, and they are watched for
    ``after_s``."""
    changes = {
        "weights 5:3:2 to 2:3:5": Change(warmup_s, weights=(2, 3, 5)),
        f"rate {CHANGE_RATE_BPS / 1e6:g} to {STEP_RATE_BPS / 1e6:g} Mbit/s": Change(
            warmup_s, rate_bps=STEP_RATE_BPS
        ),
        f"outage of {OUTAGE_S:g} s": Change(warmup_s, outage_s=OUTAGE_S),
    }
    return [
        Experiment(
            "convergence",
            label,
            Cell(
                (5, 3, 2),
                CHANGE_RATE_BPS,
                QUEUE_S,
                (EQUAL_RTT_S,) * 3,
                mapping=mapping,
                seed=seed,
                warmup_s=warmup_s,
                measure_s=after_s,
            ),
            change,
        )
        for seed in range(seeds)
        for label, change in changes.items()
        for mapping in mappings
    ]
