"""When packets are acknowledged, with literal times. Every packet here asks for an acknowledgement."""

from __future__ import annotations

import pytest

from ecco_emu.transport.acks import ReceivedPackets

MAX_DELAY_S = 0.025


def established(acked_s: float = 1.0) -> ReceivedPackets:
    """Packets 0 to 9 arrived and were acknowledged at ``acked_s``."""
    received = ReceivedPackets(MAX_DELAY_S, 0.0)
    for number in range(10):
        received.note(number, True, acked_s)
    received.take(acked_s)
    return received


def test_the_first_packets_are_acknowledged_at_once() -> None:
    received = ReceivedPackets(MAX_DELAY_S, 0.0)
    for number in range(4):
        received.note(number, True, 0.001)
        assert received.due_s == 0.001
        received.take(0.001)
    received.note(4, True, 0.001)
    assert received.due_s == pytest.approx(0.026)


def test_every_second_packet_is_acknowledged_where_packets_are_few() -> None:
    """3 Mbit/s: one packet every 3.2 ms."""
    received = established()
    received.note(10, True, 1.0032)
    assert received.due_s == pytest.approx(1.0282)
    received.note(11, True, 1.0064)
    assert received.due_s == 1.0064


def test_where_packets_are_many_the_first_after_2_5_ms_is_acknowledged() -> None:
    """20 Mbit/s: one packet every 0.5 ms."""
    received = established()
    for number in range(10, 14):
        received.note(number, True, 1.0005 + 0.0005 * (number - 10))
        assert received.due_s is not None
        assert received.due_s > 1.002
    received.note(14, True, 1.0025)
    assert received.due_s == 1.0025


def test_so_is_what_a_busy_socket_is_asked_for_every_3_ms() -> None:
    """Even if the event loop wakes half a millisecond early."""
    received = established()
    for number in range(10, 16):
        received.note(number, True, 1.0026)
    assert received.due_s == 1.0026


def test_so_is_every_tenth() -> None:
    """100 Mbit/s: one packet every 0.1 ms."""
    received = established()
    for number in range(10, 19):
        received.note(number, True, 1.0001 + 0.0001 * (number - 10))
        assert received.due_s is not None
        assert received.due_s > 1.001
    received.note(19, True, 1.001)
    assert received.due_s == 1.001


def test_the_last_of_a_burst_wait_2_5_ms_at_most() -> None:
    received = established()
    for number in (10, 11, 12):
        received.note(number, True, 1.0005)
    assert received.due_s == pytest.approx(1.0025)
    ranges, delay_us = received.take(1.0025)
    assert list(ranges) == [(0, 13)]
    assert delay_us == 2000


@pytest.mark.parametrize("missing", [10, 11])
def test_a_gap_is_acknowledged_at_once_however_new_the_last_one_is(missing: int) -> None:
    received = established()
    for number in range(10, missing):
        received.note(number, True, 1.0005)
    received.note(missing + 1, True, 1.0005)
    assert received.due_s == 1.0005


def test_a_late_packet_that_fills_a_gap_is_acknowledged_at_once() -> None:
    received = established()
    received.note(11, True, 1.0005)
    received.take(1.0005)
    received.note(10, True, 1.001)
    assert received.due_s == 1.001
    assert list(received.take(1.001)[0]) == [(0, 12)]


def test_a_packet_after_a_pause_is_acknowledged_at_once() -> None:
    received = established()
    received.note(10, True, 1.0251)
    assert received.due_s == 1.0251


def test_what_only_acknowledges_is_not_acknowledged() -> None:
    received = established()
    received.note(10, False, 1.1)
    assert received.due_s is None


def test_a_receiver_on_a_full_link_acknowledges_seldom() -> None:
    """A download of 1000 packets a second, acknowledged as a run's cameras do."""

    def acknowledgements(received: ReceivedPackets) -> int:
        count = 0
        for number in range(2000):
            now = number / 1000
            received.note(number, eliciting=True, now=now)
            if received.due_s is not None and received.due_s <= now:
                received.take(now)
                count += 1
        return count

    often = acknowledgements(ReceivedPackets(MAX_DELAY_S, 0.0))
    seldom = acknowledgements(ReceivedPackets(MAX_DELAY_S, 0.0, interval_s=0.025, most_unacked=100))
    assert often > 600
    assert seldom < 90
