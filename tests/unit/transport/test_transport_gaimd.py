"""GAIMD with literal times: growth, cuts, events, idleness."""

from __future__ import annotations

import pytest

from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion import Gaimd
from ecco_emu.transport.rtt import RttEstimator

PACKET = 1200


def gaimd(*, alpha: float = 1.0, beta: float = 0.5, queue_delay_s: float = 0.0) -> Gaimd:
    """A new controller on a path with a round-trip time of 0.1 s and the given queueing delay."""
    rtt = RttEstimator(0.1)
    rtt.add(0.1, 0.0, 0.0)
    rtt.smoothed_s = 0.1 + queue_delay_s
    return Gaimd(TransportConfig(alpha=alpha, beta=beta), rtt)


def avoiding(
    window_packets: float, *, alpha: float = 1.0, beta: float = 0.5, queue_delay_s: float = 0.0
) -> Gaimd:
    """A controller past slow start with this window, fully used."""
    controller = gaimd(alpha=alpha, beta=beta, queue_delay_s=queue_delay_s)
    controller.window = controller.ssthresh = window_packets * PACKET
    controller.on_sent(int(controller.window))
    return controller


def ack_round(controller: Gaimd, sent_s: float, now: float) -> None:
    """Acknowledges a whole window that was sent at one time."""
    packets = round(controller.window / PACKET)
    controller.on_sent(packets * PACKET)
    for _ in range(packets):
        controller.on_acked(PACKET, sent_s, now)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_the_window_grows_by_alpha_packets_per_round_trip(alpha: float) -> None:
    controller = avoiding(50, alpha=alpha)
    ack_round(controller, 0.0, 0.1)
    assert controller.window == pytest.approx((50 + alpha) * PACKET, rel=0.002)


def test_slow_start_doubles_per_round_trip() -> None:
    controller = gaimd(alpha=0.1)
    ack_round(controller, 0.0, 0.1)
    assert controller.window == 20 * PACKET


def test_a_cut_keeps_beta_and_ends_slow_start() -> None:
    controller = gaimd(beta=0.7)
    assert controller.on_lost(1, 0.0, 0.1)
    assert controller.window == pytest.approx(7 * PACKET)
    assert not controller.slow_start


def test_one_cut_per_congestion_event() -> None:
    controller = avoiding(100, queue_delay_s=0.2)
    assert controller.on_lost(1, newest_sent_s=0.9, now=1.0)
    # sent before the cut, and while the queue that overflowed still drains
    assert not controller.on_lost(1, newest_sent_s=0.95, now=1.1)
    assert not controller.on_lost(1, newest_sent_s=1.19, now=1.4)
    assert controller.window == 50 * PACKET
    assert controller.on_lost(1, newest_sent_s=1.21, now=1.45)
    assert controller.window == 25 * PACKET
    assert controller.cuts == 2


def test_the_window_never_falls_below_the_smallest() -> None:
    controller = avoiding(3)
    for event in range(5):
        controller.on_lost(1, 10.0 * event, 10.0 * event + 0.1)
    assert controller.window == 2 * PACKET


def test_an_unused_window_does_not_grow() -> None:
    controller = avoiding(100)
    controller.on_acked(PACKET, 0.0, 0.1)  # a new round begins; the last one was full
    controller.on_acked(PACKET, 0.1, 0.2)
    before = controller.window
    for step in range(20):
        now = 0.3 + 0.1 * step
        controller.on_sent(10 * PACKET)
        for _ in range(10):
            controller.on_acked(PACKET, now - 0.1, now)
    assert controller.window == before


def test_a_rising_floor_of_the_round_trip_ends_slow_start() -> None:
    controller = gaimd()
    for round_number, rtt_s in enumerate((0.040, 0.040, 0.060)):
        now = 0.1 * (round_number + 1)
        controller.on_acked(PACKET, now - 0.05, now)
        for _ in range(8):
            controller.on_rtt(rtt_s, now)
    assert not controller.slow_start
    assert controller.cuts == 0


def test_alpha_changes_while_it_runs() -> None:
    controller = avoiding(50, alpha=1.0)
    controller.alpha = 0.5
    ack_round(controller, 0.0, 0.1)
    assert controller.window == pytest.approx(50.5 * PACKET, rel=0.002)


def test_beta_changes_while_it_runs() -> None:
    controller = avoiding(50)
    controller.beta = 0.8
    assert controller.on_lost(1, newest_sent_s=0.5, now=0.6)
    assert controller.window == pytest.approx(40 * PACKET)


def test_an_outage_restarts_small_and_aims_at_what_a_cut_would_leave() -> None:
    controller = avoiding(80)
    controller.on_outage(5.0)
    assert controller.window == 10 * PACKET
    assert controller.ssthresh == 40 * PACKET
    assert not controller.on_lost(1, newest_sent_s=4.9, now=5.1)
    assert controller.cuts == 0


@pytest.mark.parametrize(("idle_s", "packets"), [(0.9, 80), (1.1, 40), (2.1, 20), (60.0, 10)])
def test_idleness_halves_the_window_for_every_second(idle_s: float, packets: int) -> None:
    controller = avoiding(80)
    controller.on_idle(idle_s, timeout_s=0.1)
    assert controller.window == packets * PACKET
    assert controller.ssthresh >= 60 * PACKET
