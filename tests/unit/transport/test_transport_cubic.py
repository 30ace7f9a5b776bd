"""CUBIC and the fixed rate, with literal times."""

from __future__ import annotations

import pytest

from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion import Cubic, Fixed, Gaimd, SharedGaimd, make_controller
from ecco_emu.transport.rtt import RttEstimator

PACKET = 1200


def rtt(seconds: float = 0.1) -> RttEstimator:
    estimator = RttEstimator(seconds)
    estimator.add(seconds, 0.0, 0.0)
    return estimator


def after_a_cut(packets: float) -> Cubic:
    """A controller whose fully used window of this size was cut at 0 s."""
    controller = Cubic(TransportConfig(), rtt())
    controller.window = controller.ssthresh = packets * PACKET
    assert controller.on_lost(1, 0.0, 0.0)
    return controller


def run(controller: Cubic, until_s: float) -> None:
    """Acknowledges a whole window in each round trip."""
    now = 0.1
    while now < until_s:
        packets = max(round(controller.window / PACKET), 1)
        controller.on_sent(packets * PACKET)
        for _ in range(packets):
            controller.on_acked(PACKET, now - 0.05, now)
        now += 0.1


def test_a_cut_keeps_seven_tenths() -> None:
    assert after_a_cut(100).window == pytest.approx(70 * PACKET)


def test_it_is_back_at_the_maximum_after_k_seconds_and_lingers_there() -> None:
    controller = after_a_cut(400)
    k_s = (400 * 0.3 / 0.4) ** (1 / 3)  # 6.7 s
    run(controller, k_s)
    assert controller.window / PACKET == pytest.approx(400, rel=0.03)
    run(controller, 1.0)
    assert controller.window / PACKET == pytest.approx(400, rel=0.03)


def test_a_second_cut_below_the_maximum_makes_room_for_others() -> None:
    controller = after_a_cut(100)
    controller.on_lost(1, 1.0, 1.0)
    assert controller._w_max == pytest.approx(70 * 0.85)


def test_small_windows_grow_as_reno_would() -> None:
    controller = after_a_cut(10)
    run(controller, 3.0)
    assert controller.window / PACKET > 7 + 0.5 * 25 * 3 * 0.3 / 1.7


def test_a_fixed_rate_stays() -> None:
    controller = Fixed(TransportConfig(algorithm="fixed", fixed_rate_bps=8e5), rtt())
    assert controller.pacing_bytes_per_s == 1e5
    assert controller.window == pytest.approx(1e4)
    assert not controller.on_lost(100, 0.0, 0.1)
    controller.on_outage(1.0)
    assert controller.pacing_bytes_per_s == 1e5
    assert controller.in_flight_limit >= 1e5


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (TransportConfig(), Gaimd),
        (TransportConfig(follow_shares=True), SharedGaimd),
        (TransportConfig(algorithm="cubic"), Cubic),
        (TransportConfig(algorithm="fixed", follow_shares=True), Fixed),
    ],
)
def test_the_configuration_chooses(config: TransportConfig, kind: type) -> None:
    assert type(make_controller(config, rtt())) is kind
