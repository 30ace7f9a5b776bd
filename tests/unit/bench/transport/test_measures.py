"""From counters to figures, with literal numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ecco_emu.bench.transport.experiment import Cell, Change
from ecco_emu.bench.transport.measures import CellTrace, capped_flows, evaluate, respond, share_error

CELL = Cell((5, 3, 2), 1e6, 0.1, (0.02,) * 3, warmup_s=2.0, measure_s=4.0)


def rates_to_trace(rates_bps: list[list[float]], step_s: float = 1.0) -> CellTrace:
    """What flows with these goodputs, one for each step, would have counted."""
    bytes_ = np.array(rates_bps) * step_s / 8
    received = np.concatenate([np.zeros((len(rates_bps), 1)), np.cumsum(bytes_, axis=1)], axis=1)
    times = np.arange(received.shape[1]) * step_s
    nothing = np.zeros_like(times)
    return CellTrace(times, received, received.sum(axis=0), nothing, nothing, nothing, nothing)


@pytest.mark.parametrize(
    ("goodputs", "weights", "error"),
    [
        ([50, 30, 20], [5, 3, 2], 0.0),
        ([52, 30, 18], [5, 3, 2], 0.1),  # the smallest has 18 of 20
        ([44, 30, 26], [5, 3, 2], 0.3),
        ([25, 25, 25, 25], [1, 1, 1, 1], 0.0),
        ([30, 25, 25, 20], [1, 1, 1, 1], 0.2),
        ([1, 0], [1, 1], 1.0),
        ([0, 0], [1, 1], 1.0),
    ],
)
def test_share_error(goodputs: list[float], weights: list[float], error: float) -> None:
    assert share_error(goodputs, weights, [False] * len(weights)) == pytest.approx(error)


def test_a_capped_flow_is_not_judged_and_the_others_share_what_it_leaves() -> None:
    assert share_error([10, 45, 45], [8, 1, 1], [True, False, False]) == 0.0
    assert share_error([10, 54, 36], [8, 1, 1], [True, False, False]) == pytest.approx(0.2)


def test_a_cap_above_the_weighted_share_holds_nobody_down() -> None:
    assert capped_flows(replace(CELL, uplinks_bps=(6e5, None, 1e5))) == [False, False, True]


def test_a_cap_counts_once_others_capped_leave_room_for_it() -> None:
    """The first flow's share is 500 kbit/s; what the second cannot use brings it to its cap of 600."""
    assert capped_flows(replace(CELL, uplinks_bps=(6e5, 1e4, None))) == [True, True, False]


def test_only_the_measured_time_counts() -> None:
    before, during = [9e5, 1e4, 1e4], [4.4e5, 3e5, 2.6e5]
    result = evaluate(CELL, rates_to_trace([[b] * 2 + [d] * 4 for b, d in zip(before, during, strict=True)]))
    assert result.goodput_bps == pytest.approx(during)
    assert result.share == pytest.approx((0.44, 0.30, 0.26))
    assert result.share_error == pytest.approx(0.3)
    assert result.utilisation == pytest.approx(1.0)


def test_loss_cuts_and_queue_are_of_the_measured_time_too() -> None:
    trace = rates_to_trace([[1.0] * 6] * 3)
    steps = np.arange(7.0)
    trace = replace(
        trace,
        acked=steps * 98,
        lost=steps * 2,
        cuts=np.array([0, 5, 5, 6, 7, 8, 9.0]),
        queue_s=np.array([9, 9, 0.02, 0.04, 0.06, 0.08, 0.1]),
    )
    result = evaluate(CELL, trace)
    assert result.loss == pytest.approx(0.02)
    assert result.cuts == 4
    assert result.queue_mean_s == pytest.approx(0.06)
    assert result.queue_max_s == pytest.approx(0.1)


def test_nothing_received_is_no_error() -> None:
    result = evaluate(CELL, rates_to_trace([[0.0] * 6] * 3))
    assert (result.share, result.share_error, result.loss) == ((0, 0, 0), 1.0, 0)


def settling(weights: list[float], total_bps: float, slow_s: int) -> list[list[float]]:
    """20 s at 5:3:2 of 1 Mbit/s, ``slow_s`` more, and then what is wanted."""
    return [
        [old * 1e5] * (20 + slow_s) + [w * total_bps / sum(weights)] * (20 - slow_s)
        for old, w in zip((5, 3, 2), weights, strict=True)
    ]


def test_new_weights_are_followed_once_all_flows_are_near_their_new_shares() -> None:
    change = Change(20.0, weights=(2, 3, 5))
    response = respond(CELL, change, rates_to_trace(settling([2, 3, 5], 1e6, 3)))
    assert response.of == "weights"
    assert response.reached_s == pytest.approx(5.0)  # 3 s late, and 2 s of smoothing
    assert response.held == 1.0


def test_new_weights_that_are_never_followed() -> None:
    response = respond(CELL, Change(20.0, weights=(2, 3, 5)), rates_to_trace(settling([5, 3, 2], 1e6, 0)))
    assert response.reached_s is None
    assert response.held == 0.0


def test_a_new_rate_is_followed_in_rates_not_only_in_shares() -> None:
    change = Change(20.0, rate_bps=5e5)
    payload_bps = 5e5 * 1200 / 1242
    assert respond(CELL, change, rates_to_trace(settling([5, 3, 2], 1e6, 0))).reached_s is None
    response = respond(CELL, change, rates_to_trace(settling([5, 3, 2], payload_bps, 1)))
    assert response.reached_s == pytest.approx(3.0)


def test_recovery_counts_from_the_end_of_the_outage() -> None:
    change = Change(5.0, outage_s=5.0)
    one = [1e6] * 50 + [0.0] * 50 + [1e5] * 3 + [9e5] * 30
    response = respond(Cell((1,), 1e6, 0.1, (0.02,)), change, rates_to_trace([one], step_s=0.1))
    assert response.of == "outage"
    assert response.reached_s == pytest.approx(0.5)  # 0.3 s late, and 0.2 s of smoothing


@pytest.mark.parametrize("kwargs", [{}, {"rate_bps": 1e6, "outage_s": 1.0}])
def test_a_change_is_one_thing(kwargs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a change is"):
        Change(1.0, **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": ()},
        {"weights": (1, 0, 1)},
        {"rtts_s": (0.02,)},
        {"uplinks_bps": (None,)},
        {"loss": 1.0},
        {"queue_s": 0.0},
        {"weights": (1, math.inf, 1)},
    ],
)
def test_cells_that_cannot_be(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        replace(CELL, **changes)  # type: ignore[arg-type]
