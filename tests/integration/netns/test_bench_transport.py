"""The benchmark's real links, very briefly: that it measures, not what it measures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecco_emu.bench.transport.cost import Case, perform
from ecco_emu.bench.transport.endpoints import missing
from ecco_emu.bench.transport.experiment import PROTOCOLS, Cell, Change, Experiment, Protocol
from ecco_emu.bench.transport.measures import evaluate
from ecco_emu.bench.transport.real import run_trace, trace

pytestmark = pytest.mark.ecco_netns
CELL = Cell((2, 1), 2e6, 0.1, (0.01, 0.02), loss=0.001, warmup_s=1.5, measure_s=1.5)


async def test_two_flows_share_a_real_bottleneck() -> None:
    result = evaluate(CELL, await trace(CELL))
    assert sum(result.share) == pytest.approx(1.0)
    assert all(goodput > 0 for goodput in result.goodput_bps)
    assert 0 < result.utilisation < 1.2
    assert result.lag_p99_s is not None


async def test_shares_are_reported_over_real_links() -> None:
    """What they come to is the benchmark's business; here only that auto runs and moves bytes by weight."""
    cell = replace(CELL, weights=(4, 1), mapping="auto", warmup_s=4.0, measure_s=4.0)
    result = evaluate(cell, await trace(cell))
    assert result.goodput_bps[0] > result.goodput_bps[1] > 0


def test_a_live_change_is_applied() -> None:
    counted = run_trace(CELL, Change(1.5, outage_s=1.0))
    assert counted.gained(counted.received_bytes, 1.8, 2.4).sum() == 0
    assert counted.gained(counted.received_bytes, 0.0, 1.5).sum() > 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_transfer_is_measured_at_both_ends(protocol: Protocol) -> None:
    if (reason := missing(protocol)) is not None:
        pytest.skip(reason)
    cell = Cell((1,), 5e6, 0.05, (0.01,), warmup_s=0.5, measure_s=1.0)
    record = await perform(Case(Experiment("cost", "a link", cell), protocol))
    assert record.unsupported is None
    assert record.cost is not None
    assert record.cost.goodput_bps > 0
    assert record.cost.cpu > 0
