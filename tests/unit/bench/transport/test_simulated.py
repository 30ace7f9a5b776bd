"""The simulated way, briefly: bytes flow, changes happen, the same seed gives the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecco_emu.bench.transport import steering
from ecco_emu.bench.transport.experiment import Cell, Change, Experiment
from ecco_emu.bench.transport.run import perform
from ecco_emu.bench.transport.simulated import simulate, trace
from ecco_emu.control.shares import AlphaMapping

CELL = Cell((2, 1), 2e6, 0.1, (0.01, 0.05), warmup_s=2.0, measure_s=3.0)


@pytest.mark.parametrize("mapping", ["linear", "root", "auto"])
def test_flows_fill_the_bottleneck(mapping: AlphaMapping) -> None:
    result = simulate(replace(CELL, mapping=mapping))
    assert sum(result.share) == pytest.approx(1.0)
    assert result.utilisation > 0.9
    assert result.queue_max_s <= 0.1 + 1e-9


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    assert simulate(CELL) == simulate(CELL)
    assert simulate(CELL) != simulate(replace(CELL, seed=1))


def test_an_uplink_holds_its_flow_down() -> None:
    result = simulate(replace(CELL, uplinks_bps=(2e5, None)))
    assert result.goodput_bps[0] <= 2e5
    assert result.goodput_bps[1] > 1.5e6


def test_nothing_arrives_during_an_outage() -> None:
    counted = trace(CELL, Change(2.0, outage_s=1.0))
    assert counted.gained(counted.received_bytes, 2.2, 3.0).sum() == 0
    assert counted.gained(counted.received_bytes, 4.0, 5.0).sum() > 0


def test_a_new_rate_is_the_bottlenecks_from_then_on() -> None:
    counted = trace(CELL, Change(2.0, rate_bps=5e5))
    late = counted.gained(counted.carried_bytes, 3.0, 5.0) * 8 / 2
    assert late == pytest.approx(5e5, rel=0.1)


def test_what_cannot_be_run_is_recorded_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from ecco_emu.core.errors import HostError

    def refuse(*_: object) -> None:
        raise HostError("not here")

    monkeypatch.setattr(steering, "client_config", refuse)
    record = perform(Experiment("shares", "a cell", CELL), "simulated")
    assert record.unsupported == "not here"
    assert record.result is None
