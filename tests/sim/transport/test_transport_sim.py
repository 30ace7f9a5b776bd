"""GAIMD over a simulated bottleneck, in virtual time: shares, utilisation, outages, bulk transfer."""

from __future__ import annotations

import pytest

from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion.gaimd import proportional_alpha_sum
from ecco_emu.transport.connection import ConnectionState
from ecco_emu.transport.events import MessageReceived, VideoOutcome, VideoReceived
from ecco_emu.transport.simulation.connections import Flow, SharedBottleneck


def shares(net: SharedBottleneck, flows: list[Flow], *, from_s: float, until_s: float) -> list[float]:
    """Each flow's fraction of what all of them delivered in the interval."""
    net.time.run_until(from_s)
    before = [flow.client.connection.stats.bytes_acked for flow in flows]
    net.time.run_until(until_s)
    gained = [
        flow.client.connection.stats.bytes_acked - start for flow, start in zip(flows, before, strict=True)
    ]
    return [own / sum(gained) for own in gained]


def test_shares_follow_alpha_through_a_deep_queue() -> None:
    net = SharedBottleneck(rate_bps=12e6, queue_s=0.2, seed=3)
    weights = (0.5, 0.3, 0.2)
    total = proportional_alpha_sum(12e6, 0.02, 0.2)
    flows = [net.add_flow(TransportConfig(alpha=total * weight)) for weight in weights]
    for flow in flows:
        net.keep_busy(flow)
    got = shares(net, flows, from_s=15, until_s=45)
    assert got == pytest.approx(weights, rel=0.12)
    assert net.forward.delivered_bytes * 8 / 45 >= 0.95 * 12e6
    assert all(flow.client.connection.stats.loss < 0.02 for flow in flows)


def test_two_equal_flows_share_equally_and_use_the_link() -> None:
    net = SharedBottleneck(rate_bps=6e6, queue_s=0.1, seed=1)
    flows = [net.add_flow(TransportConfig(alpha=3.0)) for _ in range(2)]
    for flow in flows:
        net.keep_busy(flow)
    got = shares(net, flows, from_s=10, until_s=40)
    assert got == pytest.approx([0.5, 0.5], rel=0.1)
    assert net.forward.delivered_bytes * 8 / 40 >= 0.9 * 6e6


def test_a_changed_alpha_changes_the_shares() -> None:
    net = SharedBottleneck(rate_bps=6e6, queue_s=0.2, seed=2)
    flows = [net.add_flow(TransportConfig(alpha=5.0)) for _ in range(2)]
    for flow in flows:
        net.keep_busy(flow)
    net.time.run_until(10)
    flows[0].client.connection.set_alpha(7.5)
    flows[1].client.connection.set_alpha(2.5)
    got = shares(net, flows, from_s=20, until_s=45)
    assert got == pytest.approx([0.75, 0.25], rel=0.2)


def test_a_bulk_transfer_over_a_lossy_link_arrives_intact() -> None:
    net = SharedBottleneck(rate_bps=20e6, queue_s=0.1, loss=0.01, seed=4)
    flow = net.add_flow(TransportConfig(alpha=10.0))
    weights = bytes(range(256)) * (5_000_000 // 256)
    flow.client.connection.send(1, weights, 0.0)
    flow.client.pump()

    def arrived() -> bool:
        return flow.server is not None and flow.server.connection.has_delivery

    net.time.run_until(60, arrived)
    assert flow.server is not None
    assert flow.server.connection.next_delivery() == MessageReceived(1, weights)
    assert net.time.now < 12  # 2.1 s at the full rate; 1 % of random loss holds the window down
    assert flow.client.connection.stats.bytes_retransmitted < 0.03 * len(weights)


@pytest.mark.parametrize("seed", range(3))
def test_after_an_outage_sending_resumes_within_two_round_trips_and_a_second(seed: int) -> None:
    net = SharedBottleneck(rate_bps=6e6, queue_s=0.1, delay_s=0.02, outages=[(5.0, 10.0)], seed=seed)
    flow = net.add_flow(TransportConfig(alpha=2.0))
    net.keep_busy(flow)
    net.time.run_until(9.9)
    sender = flow.client.connection
    before = sender.stats.bytes_acked
    net.time.run_until(10.0 + 2 * 0.14 + 1.0)
    assert sender.stats.bytes_acked > before + 50_000
    delivered = net.forward.delivered_bytes
    net.time.run_until(10.0 + 2 * 0.14 + 2.0)
    assert (net.forward.delivered_bytes - delivered) * 8 > 0.8 * 6e6
    assert sender.stats.outages == 1
    assert sender.state is ConnectionState.OPEN


def test_silence_beyond_the_timeout_ends_both_sides() -> None:
    net = SharedBottleneck(rate_bps=6e6, queue_s=0.1, outages=[(1.0, 100.0)])
    flow = net.add_flow(TransportConfig(idle_timeout_s=30.0))
    net.time.run_until(0.9)
    flow.client.connection.send(0, b"anyone there?", 0.9)
    flow.client.pump()
    net.time.run_until(60)
    assert flow.server is not None
    assert flow.client.connection.state is ConnectionState.CLOSED
    assert flow.server.connection.state is ConnectionState.CLOSED


def test_keepalive_holds_an_unused_connection_open() -> None:
    net = SharedBottleneck(rate_bps=6e6, queue_s=0.1)
    flow = net.add_flow(TransportConfig())
    net.time.run_until(300)
    assert flow.client.connection.state is ConnectionState.OPEN
    assert flow.client.connection.stats.packets_sent < 100


def test_video_that_does_not_fit_is_dropped_when_stale_and_the_rest_is_delivered() -> None:
    """1.6 Mbit/s of segments into 1 Mbit/s: some are lost, none late by much, the link stays full."""
    net = SharedBottleneck(rate_bps=1e6, queue_s=0.19, seed=5)
    flow = net.add_flow(TransportConfig(alpha=2.0))
    net.time.run_until(0.5)
    sender = flow.client.connection
    outcomes: dict[int, str] = {}
    received: list[VideoReceived] = []
    for second in range(1, 31):
        net.time.run_until(float(second))
        sender.send_video(bytes(200_000), second + 4.0, net.time.now)
        flow.client.pump()
        assert flow.server is not None
        while (event := flow.server.connection.next_event()) is not None:
            if isinstance(event, VideoReceived):
                received.append(event)
        while (signal := sender.next_signal()) is not None:
            if isinstance(signal, VideoOutcome):
                outcomes[signal.id] = signal.outcome
        assert sender.video_backlog_bytes <= 5 * 200_000
    delivered = [number for number, outcome in outcomes.items() if outcome == "delivered"]
    assert {video.id for video in received} >= set(delivered[:-2])
    assert len(delivered) >= 14  # the link has room for 17 of 30
    assert "lost" in outcomes.values()
    assert flow.server is not None
    assert flow.server.connection.buffered_bytes <= 5 * 200_000


def test_control_overtakes_weights() -> None:
    net = SharedBottleneck(rate_bps=2e6, queue_s=0.1)
    flow = net.add_flow(TransportConfig())
    flow.client.connection.send(1, bytes(2_000_000), 0.0)
    flow.client.pump()
    net.time.run_until(3.0)
    flow.client.connection.send(0, b"urgent", 3.0)
    flow.client.pump()
    net.time.run_until(3.4)
    assert flow.server is not None
    assert flow.server.connection.next_delivery() == MessageReceived(0, b"urgent")


def test_the_same_seed_gives_the_same_run() -> None:
    def run() -> tuple[int, int]:
        net = SharedBottleneck(rate_bps=5e6, queue_s=0.05, loss=0.01, jitter_s=0.002, seed=9)
        flow = net.add_flow(TransportConfig(alpha=3.0))
        net.keep_busy(flow)
        net.time.run_until(5)
        return flow.client.connection.stats.bytes_acked, flow.client.connection.stats.packets_lost

    assert run() == run()
