"""GAIMD steered by share reports (mapping auto), with literal times."""

from __future__ import annotations

import math

import pytest

from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion import SharedGaimd
from ecco_emu.transport.congestion.queueing import QueueMemory
from ecco_emu.transport.rtt import RttEstimator
from ecco_emu.transport.share_report import ShareReport

PACKET = 1200
ENTITLED = 120_000.0
"""Bytes per second: 100 packets, and at 0.1 s of round trip a window of 10."""


def steered(
    window_packets: float = 10.0,
    *,
    achieved: float = ENTITLED,
    behind_s: float = 0.0,
    entitled: float = ENTITLED,
    queue_delay_s: float = 0.0,
) -> SharedGaimd:
    """Past slow start, at a round trip of 0.1 s, a tenth of it queueing, with a share report at 1 s."""
    rtt = RttEstimator(0.1)
    rtt.add(0.09, 0.0, 0.0)
    rtt.smoothed_s = 0.1 + queue_delay_s
    controller = SharedGaimd(TransportConfig(alpha=0.7, follow_shares=True), rtt)
    controller.window = controller.ssthresh = window_packets * PACKET
    controller.on_share(ShareReport(entitled, achieved, behind_s), 1.0)
    return controller


def test_before_the_first_report_alpha_is_the_configured_one() -> None:
    controller = SharedGaimd(TransportConfig(alpha=0.7, follow_shares=True), RttEstimator(0.1))
    assert controller.effective_alpha(5.0) == 0.7
    controller.on_share(
        ShareReport(0.0, 0.0, 0.0), 5.0
    )  # nothing arrives at the server, so the report says nothing
    assert controller.effective_alpha(5.0) == 0.7


def test_on_its_share_a_flow_regains_in_a_cycle_what_a_cut_took() -> None:
    # E / (2 * 2 s) = 30 kB/s per second; times rtt^2 / packet: 0.25 packets per round trip
    assert steered().effective_alpha(1.0) == pytest.approx(0.25)


def test_slow_flows_probe_less_often() -> None:
    # 25 packets per second: one in a hundred is one in 4 s
    slow = steered(2.5, entitled=30_000.0, achieved=30_000.0)
    assert slow.effective_alpha(1.0) == pytest.approx(30_000 / 8 * 0.01 / PACKET)


@pytest.mark.parametrize(
    ("achieved", "behind_s", "correction"),
    [
        (0.9 * ENTITLED, 0.0, 0.14),
        (ENTITLED, 0.5, 0.25),
        (ENTITLED, -0.5, -0.25),
        (0.0, 3.0, 2.0),  # 1.4 + 1.5, but no more than 2
        (3 * ENTITLED, -3.0, -1.0),  # giving up is slower
    ],
)
def test_alpha_corrects_what_is_had_and_what_is_owed(
    achieved: float, behind_s: float, correction: float
) -> None:
    controller = steered(achieved=achieved, behind_s=behind_s)
    packets_per_rtt = (0.25 + correction) * ENTITLED * 0.1 * 0.1 / PACKET
    assert controller.effective_alpha(1.0) == pytest.approx(packets_per_rtt)


def test_far_above_its_share_a_flow_comes_down_in_proportion_to_what_it_has() -> None:
    controller = steered(80.0, achieved=8 * ENTITLED, behind_s=-3.0)  # 8 times the entitlement
    slope = 0.25 * ENTITLED - 8 * ENTITLED
    assert controller.effective_alpha(1.0) == pytest.approx(slope * 0.01 / PACKET)


def test_ahead_of_its_share_a_flow_does_not_give_way_where_nothing_queues() -> None:
    """Connections that are behind may be limited by their own uplinks; all others would slow down to them."""
    controller = steered(achieved=2 * ENTITLED, behind_s=-3.0, queue_delay_s=-0.009)
    rtt_s = 0.091
    assert controller.effective_alpha(1.0) == pytest.approx(0.25 * ENTITLED * rtt_s**2 / PACKET)


def test_what_was_had_too_much_is_paid_back_with_half_the_entitlement() -> None:
    assert steered(5.1, achieved=ENTITLED, behind_s=-3.0).effective_alpha(1.0) < 0
    assert steered(4.9, achieved=ENTITLED, behind_s=-3.0).effective_alpha(1.0) == pytest.approx(0.25)


def test_an_old_report_corrects_nothing() -> None:
    controller = steered(achieved=0.0, behind_s=3.0)
    assert controller.effective_alpha(3.9) > 1
    assert controller.effective_alpha(4.1) == pytest.approx(0.25)


def test_the_window_grows_with_time_and_shrinks_without_leaving_congestion_avoidance() -> None:
    controller = steered()
    controller.on_sent(10 * PACKET)
    controller.on_acked(PACKET, 0.9, 1.0)
    controller.on_sent(10 * PACKET)
    before = controller.window
    controller.on_acked(PACKET, 1.3, 1.4)
    assert controller.window == pytest.approx(before + 0.25 * PACKET * 0.4 / 0.1)
    controller.on_share(ShareReport(ENTITLED, 3 * ENTITLED, -3.0), 1.4)
    before = controller.window
    controller.on_acked(PACKET, 1.4, 1.5)
    assert controller.window < before
    assert not controller.slow_start


def test_silence_counts_for_a_second_at_most() -> None:
    controller = steered()
    controller.on_sent(10 * PACKET)
    controller.on_acked(PACKET, 0.9, 1.0)
    controller.on_sent(10 * PACKET)
    before = controller.window
    controller.on_acked(PACKET, 2.9, 3.0)
    assert controller.window == pytest.approx(before + 0.25 * PACKET * 1.0 / 0.1)


def test_a_loss_while_the_queue_is_empty_cuts_nothing() -> None:
    controller = steered()
    for number in range(50):
        controller._rtt.smoothed_s = 0.1 + 0.004 * number  # the queue was up to 206 ms long
        controller.on_rtt(0.1, 1.0)
        controller.on_acked(PACKET, 0.9, 1.0)
    controller._rtt.smoothed_s = 0.1
    before = controller.window
    assert not controller.on_lost(1, 0.95, 1.05)
    assert controller.window == before


def test_a_loss_while_the_queue_is_full_cuts_to_beta() -> None:
    controller = steered(11.0, queue_delay_s=0.15)  # 11 packets in 0.25 s: less than the entitlement
    controller.on_rtt(0.3, 1.0)
    before = controller.window
    having = before / 0.25 / ENTITLED
    assert controller.on_lost(1, 0.95, 1.05)
    assert controller.window == pytest.approx(before * (1 - 0.5 * having))
    full = steered(40.0, queue_delay_s=0.15)
    full.on_rtt(0.3, 1.0)
    assert full.on_lost(1, 0.95, 1.05)
    assert full.window == pytest.approx(20 * PACKET)


def test_a_flow_with_nearly_nothing_gives_up_a_tenth() -> None:
    controller = steered(0.5, queue_delay_s=0.15)
    controller.on_rtt(0.3, 1.0)
    assert controller.on_lost(1, 0.95, 1.05)
    assert controller.window == pytest.approx(0.5 * PACKET * (1 - 0.5 * 0.2))


def test_a_window_below_a_packet_is_paced_and_keeps_two_seconds_as_the_longest_pause() -> None:
    controller = steered(0.5)
    assert controller.pacing_bytes_per_s == pytest.approx(0.5 * PACKET / 0.1)
    assert controller.in_flight_limit >= 2 * PACKET
    for event in range(40):
        controller.on_rtt(0.1, 10.0 * event)
        controller.on_lost(50, 10.0 * event, 10.0 * event + 0.1)
    assert controller.window == pytest.approx(PACKET * 0.1 / 2)


class TestQueueMemory:
    def test_without_a_queue_only_much_loss_is_congestion(self) -> None:
        memory = QueueMemory()
        memory.on_delay(0.002, 0.0)
        for _ in range(200):
            memory.on_acked()
        memory.on_lost(3)
        assert not memory.overflowed(0.002)
        memory.on_lost(3)
        assert memory.overflowed(0.0)

    def test_three_quarters_of_the_most_delay_or_more_are_an_overflow(self) -> None:
        memory = QueueMemory()
        memory.on_delay(0.1, 0.0)
        memory.on_lost(1)
        assert memory.overflowed(0.076)
        assert not memory.overflowed(0.074)

    def test_a_fifth_lost_is_congestion_however_empty_the_queue(self) -> None:
        memory = QueueMemory()
        memory.on_delay(0.1, 0.0)
        for _ in range(400):
            memory.on_acked()
        memory.on_lost(24)
        assert not memory.overflowed(0.0)
        memory.on_lost(2)
        assert memory.overflowed(0.0)
        memory.answered()
        assert not memory.overflowed(0.0)

    def test_a_queue_is_forgotten_after_ten_to_twenty_seconds(self) -> None:
        memory = QueueMemory()
        memory.on_delay(0.5, 0.0)
        memory.on_delay(0.1, 11.0)
        assert memory.most_s == 0.5
        memory.on_delay(0.2, 22.0)
        assert memory.most_s == 0.2

    def test_loss_is_not_judged_from_a_handful_of_packets(self) -> None:
        memory = QueueMemory()
        memory.on_lost(1)
        assert math.isclose(memory.loss, 0.05)
