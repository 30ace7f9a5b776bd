"""Targets: the worst of several, the median of repeated, the most preferred mapping."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecco_emu.bench.measurement import Measurement
from ecco_emu.bench.transport.command import alpha_sum
from ecco_emu.bench.transport.experiment import Cell, Change, Experiment, Protocol
from ecco_emu.bench.transport.measures import Cost, Response, Result
from ecco_emu.bench.transport.records import Record
from ecco_emu.bench.transport.targets import judged
from ecco_emu.control.shares import AlphaMapping
from ecco_emu.core.errors import ScenarioError

CELL = Cell((5, 3, 2), 1e6, 0.1, (0.02,) * 3)


def shares(
    group: str, label: str, error: float, *, seed: int = 0, mapping: AlphaMapping = "linear"
) -> Record:
    result = Result((0.5, 0.3, 0.2), (5e5, 3e5, 2e5), error, 0.97, 0.01, 0.05, 0.09, 0.1, 12)
    return Record(
        Experiment(group, label, replace(CELL, seed=seed, mapping=mapping)), "simulated", result=result
    )


def cost(protocol: Protocol | None, goodput_per_cpu_bps: float, **more: float) -> Record:
    spent = Cost(protocol, 1e7, 0.5, goodput_per_cpu_bps, 0.2, **more)
    return Record(Experiment("cost", str(protocol), CELL), "real", cost=spent)


def found(*records: Record) -> dict[str, Measurement]:
    return {one.name: one for one in judged(records)}


def test_a_cell_is_within_if_its_median_is() -> None:
    near = [shares("shares", "a", error, seed=seed) for seed, error in enumerate((0.01, 0.04, 0.3))]
    verdict = found(*near, shares("shares", "b", 0.06))[
        "cells of 2 with a share error of at most 5 %; simulated, linear"
    ]
    assert verdict.value == 50.0
    assert not verdict.met


def test_of_figure_11_the_worst_link_counts() -> None:
    verdicts = found(shares("fig11", "3 Mbit/s", 0.02), shares("fig11", "6 Mbit/s", 0.07))
    assert verdicts["fig11, share error; simulated, linear"].value == pytest.approx(7.0)
    assert verdicts["fig11, bottleneck used; simulated, linear"].met
    assert verdicts["fig11, queue's p95 of its length; simulated, linear"].value == pytest.approx(90.0)


def test_what_was_measured_last_in_line_is_judged() -> None:
    verdicts = judged([shares("fig11", "x", 0.9), shares("fig11", "x", 0.01, mapping="auto")])
    assert all("auto" in one.name for one in verdicts)


def test_a_change_that_was_never_followed_is_not_met() -> None:
    change = Change(20.0, outage_s=5.0)
    late = Record(
        Experiment("convergence", "outage", CELL, change),
        "real",
        response=Response("outage", None, 0, (), ()),
    )
    (verdict,) = judged([late])
    assert (verdict.target, verdict.met) == (pytest.approx(1.04), False)


def test_costs() -> None:
    verdicts = found(
        cost("ecco-emu", 9e7, us_per_packet=45.0), cost("aioquic", 4e7), cost(None, 5e7, lag_p99_s=0.006)
    )
    assert verdicts["CPU per data packet, both ends, a shaped link"].met
    assert verdicts["goodput per CPU second against aioquic's"].value == pytest.approx(2.25)
    assert not verdicts["100 flows on one core, loop lag p99"].met


def test_without_aioquic_nothing_is_said_of_it() -> None:
    assert not [what for what in found(cost("ecco-emu", 9e7)) if "aioquic" in what]


@pytest.mark.parametrize(("text", "value"), [("3", 3.0), ("0.5", 0.5), ("proportional", None)])
def test_alpha_sum(text: str, value: float | None) -> None:
    assert alpha_sum(text) == value


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "many"])
def test_alpha_sums_that_cannot_be(text: str) -> None:
    with pytest.raises(ScenarioError, match="alpha-sum"):
        alpha_sum(text)
