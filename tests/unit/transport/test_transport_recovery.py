"""Round-trip estimation, loss detection, probing and pacing with literal times."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ecco_emu.core.errors import ProtocolError
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion import Gaimd
from ecco_emu.transport.congestion.pacing import Pacer
from ecco_emu.transport.recovery import Recovery, SentPacket
from ecco_emu.transport.rtt import RttEstimator
from ecco_emu.transport.stats import ConnectionStats


def recovery(config: TransportConfig | None = None, stats: ConnectionStats | None = None) -> Recovery:
    config = config or TransportConfig()
    rtt = RttEstimator(config.initial_rtt_s)
    return Recovery(config, rtt, Gaimd(config, rtt), stats or ConnectionStats())


def send(recovering: Recovery, *times_s: float, first: int = 0) -> None:
    for number, sent_s in enumerate(times_s, first):
        recovering.on_sent(SentPacket(number, sent_s, 1200, (number,)))


def numbers(packets: list[SentPacket]) -> list[int]:
    return sorted(packet.number for packet in packets)


def test_the_estimator_follows_rfc_9002() -> None:
    rtt = RttEstimator(0.1)
    rtt.add(0.2, 0.0, 0.0)
    assert (rtt.smoothed_s, rtt.variation_s, rtt.min_s) == (0.2, 0.1, 0.2)
    rtt.add(0.4, 0.0, 0.1)
    assert rtt.variation_s == pytest.approx(0.1 + (0.2 - 0.1) / 4)
    assert rtt.smoothed_s == pytest.approx(0.2 + 0.2 / 8)
    rtt.add(0.25, 0.1, 0.2)  # less the delay it would be below the least sample, so the delay is ignored
    assert rtt.latest_s == 0.25
    rtt.add(0.35, 0.1, 0.3)
    assert rtt.latest_s == pytest.approx(0.25)
    assert rtt.queue_delay_s == pytest.approx(rtt.smoothed_s - 0.2)


def test_a_longer_path_is_believed_after_two_minutes() -> None:
    rtt = RttEstimator(0.1)
    for second in range(200):
        rtt.add(0.02 if second < 10 else 0.08, 0.0, float(second))
    assert rtt.min_s == pytest.approx(0.08)


def test_three_later_packets_make_a_loss() -> None:
    recovering = recovery()
    send(recovering, 0.0, 0.001, 0.002, 0.003)
    acked, lost = recovering.on_ack([(1, 3)], 0.0, 0.05, 4)
    assert (numbers(acked), numbers(lost)) == ([1, 2], [])
    acked, lost = recovering.on_ack([(1, 4)], 0.0, 0.051, 4)
    assert (numbers(acked), numbers(lost)) == ([3], [0])
    assert recovering.in_flight_bytes == 0


def test_time_makes_a_loss() -> None:
    recovering = recovery()
    send(recovering, 0.0, 0.0)
    recovering.on_ack([(1, 2)], 0.0, 0.08, 2)
    assert recovering.next_timer() == pytest.approx(0.09)
    assert recovering.on_timer(0.0899) == ([], False)
    lost, probe = recovering.on_timer(0.0901)
    assert numbers(lost) == [0]
    assert not probe


def test_probes_back_off_to_the_cap_and_no_further() -> None:
    recovering = recovery(TransportConfig(initial_rtt_s=0.1, max_probe_interval_s=0.5))
    send(recovering, 0.0)
    first = recovering.next_timer()
    assert first == pytest.approx(0.1 + 4 * 0.05 + 0.025)
    moments = []
    for _ in range(6):
        due = recovering.next_timer()
        assert due is not None
        assert recovering.on_timer(due) == ([], True)
        moments.append(due)
    gaps = [after - before for before, after in pairwise(moments)]
    assert gaps == pytest.approx([0.5] * 5)


def test_an_outage_ends_with_a_restart_and_without_a_cut() -> None:
    recovering = recovery()
    controller = recovering._controller
    controller.window = controller.ssthresh = 80 * 1200.0
    send(recovering, *[0.01 * i for i in range(10)])
    now = 0.1
    for _ in range(5):
        due = recovering.next_timer()
        assert due is not None
        now = due
        recovering.on_timer(now)
    send(recovering, now, first=10)
    acked, lost = recovering.on_ack([(10, 11)], 0.0, now + 0.04, 11)
    assert (numbers(acked), numbers(lost)) == ([10], list(range(10)))
    assert controller.cuts == 0
    assert controller.window <= 11 * 1200
    assert controller.slow_start


def test_acknowledging_what_was_never_sent_is_a_violation() -> None:
    recovering = recovery()
    send(recovering, 0.0)
    with pytest.raises(ProtocolError, match="never sent"):
        recovering.on_ack([(0, 2)], 0.0, 0.1, 1)
    assert recovering.in_flight_bytes == 1200


def test_an_acknowledgement_of_billions_of_packets_costs_nothing() -> None:
    recovering = recovery()
    send(recovering, 0.0, first=2**32 - 2)
    acked, _ = recovering.on_ack([(0, 2**32 - 1)], 0.0, 0.1, 2**32 - 1)
    assert numbers(acked) == [2**32 - 2]


def test_pacing_spreads_packets() -> None:
    pacer = Pacer(1200, 0.0)
    pacer.set_rate(120_000.0, 0.0)  # 100 packets a second
    while pacer.allows(1200, 0.0):
        pacer.spend(1200)
    sent, now = 0, 0.0
    while now < 1.0:
        now = pacer.next_time(1200, now)
        assert pacer.allows(1200, now)
        pacer.spend(1200)
        sent += 1
    assert sent == pytest.approx(100, abs=2)


@pytest.mark.parametrize(
    ("bytes_per_s", "packets"),
    [(12_000.0, 2), (120_000.0, 2), (600_000.0, 5), (2_500_000.0, 16), (9_600_000.0, 16), (12_000_000.0, 20)],
)
def test_a_late_timer_is_made_up_only_within_the_burst(bytes_per_s: float, packets: int) -> None:
    """10 ms worth, at least 2 packets, at most 16 or, beyond 77 Mbit/s, 2 ms worth."""
    pacer = drained_pacer(bytes_per_s)
    burst = 0
    while pacer.allows(1200, 5.0):
        pacer.spend(1200)
        burst += 1
    assert burst == packets


def test_a_fast_sender_waits_for_a_quantum_of_4_ms() -> None:
    pacer = drained_pacer(2_400_000.0)  # 2 packets a millisecond
    assert pacer.next_time(1200, 0.0) == pytest.approx(0.004)
    burst = 0
    while pacer.allows(1200, 0.004):
        pacer.spend(1200)
        burst += 1
    assert burst == 8
    assert pacer.next_time(1200, 0.004) == pytest.approx(0.008)


def test_a_sender_that_an_acknowledgement_wakes_sends_what_it_may() -> None:
    pacer = drained_pacer(2_400_000.0)
    assert pacer.allows(1200, 0.001)
    pacer.spend(2400)
    assert not pacer.allows(1200, 0.001)
    assert pacer.next_time(1200, 0.001) == pytest.approx(0.005)


def test_a_slow_sender_waits_for_a_packet() -> None:
    pacer = drained_pacer(240_000.0)  # a packet every 5 ms
    assert pacer.next_time(1200, 0.0) == pytest.approx(0.005)
    assert pacer.allows(1200, 0.005)


def test_tokens_that_did_not_run_out_need_no_quantum() -> None:
    """The last burst ended because the window was full, not for want of tokens."""
    pacer = drained_pacer(2_400_000.0)
    assert pacer.allows(1200, 0.004)
    pacer.spend(3600)
    assert pacer.next_time(1200, 0.004) == 0.004
    assert pacer.allows(1200, 0.004)


def drained_pacer(bytes_per_s: float) -> Pacer:
    """A pacer that has no tokens at time 0."""
    pacer = Pacer(1200, 0.0)
    pacer.set_rate(bytes_per_s, 0.0)
    while pacer.allows(1200, 0.0):
        pacer.spend(1200)
    return pacer


def test_a_packet_that_was_only_late_counts_as_a_spurious_loss() -> None:
    stats = ConnectionStats()
    recovering = recovery(stats=stats)
    send(recovering, 0.0, 0.001, 0.002, 0.003, 0.004, 0.005)
    _, lost = recovering.on_ack([(5, 6)], 0.0, 0.05, 6)
    assert numbers(lost) == [0, 1, 2]
    assert (stats.packets_lost, stats.spurious) == (3, 0)
    recovering.on_ack([(5, 6), (1, 2)], 0.0, 0.052, 6)
    assert stats.spurious == 1
    recovering.on_ack([(5, 6), (1, 2)], 0.0, 0.053, 6)
    assert stats.spurious == 1  # once
    recovering.on_ack([(0, 6)], 0.0, 0.054, 6)
    assert (stats.packets_lost, stats.spurious) == (3, 3)
