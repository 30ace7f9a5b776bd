"""Attacks by strangers fail, and lying peers are detected soon."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ecco_emu.core.errors import ProtocolError
from ecco_emu.transport import wire
from ecco_emu.transport.auth import Seal, session
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.connection import Connection, ConnectionState
from ecco_emu.transport.deadline import MAX_PIECES
from ecco_emu.transport.events import Closed, MessageReceived
from ecco_emu.transport.paths import Paths
from ecco_emu.transport.skips import GAP_SPAN, MIN_GAP, SkippedNumbers
from tests.unit.transport.scripted import SESSION, ScriptedClient, frames_of, message, stream, video

HERE, THERE, ELSEWHERE = ("10.0.0.1", 4000), ("10.0.0.2", 4000), ("10.0.0.3", 4000)


def server(config: TransportConfig | None = None, entropy: bytes | None = None) -> Connection:
    connection = Connection.accept(config or TransportConfig(), SESSION, 0.0, entropy=entropy)
    connection.next_event()
    connection.address = HERE
    return connection


# Acknowledgements of packets that were never sent


def test_numbers_are_left_out_at_unpredictable_distances() -> None:
    def first(entropy: bytes, count: int) -> list[int]:
        skips, numbers = SkippedNumbers(entropy), []
        for _ in range(count):
            numbers.append(skips.next)
            skips.skip()
        return numbers

    ours, theirs = first(b"a" * 16, 50), first(b"b" * 16, 50)
    assert ours == first(b"a" * 16, 50)
    assert not set(ours) & set(theirs[:10])
    gaps = {after - before for before, after in pairwise(ours)}
    assert len(gaps) > 40
    assert all(MIN_GAP <= gap < MIN_GAP + GAP_SPAN for gap in gaps)
    assert SkippedNumbers(None).next == -1


def test_acknowledging_a_number_that_was_left_out_is_a_lie() -> None:
    skips = SkippedNumbers(b"a" * 16)
    left_out = skips.next
    skips.skip()
    skips.check([(left_out + 1, left_out + 9), (0, left_out)])
    with pytest.raises(ProtocolError, match="left out"):
        skips.check([(left_out + 8, left_out + 9), (0, left_out + 1)])


@pytest.mark.parametrize("seed", range(5))
def test_a_peer_that_acknowledges_what_did_not_arrive_is_caught(seed: int) -> None:
    """A peer that receives only the first packet acknowledges all packets that may be in flight."""
    connection, client = server(entropy=bytes([seed]) * 16), ScriptedClient()
    connection.send(1, bytes(3_000_000), 0.0)
    now, sent = 0.0, 0
    while connection.state is ConnectionState.OPEN and now < 60.0:
        now += 0.01
        for datagram in connection.datagrams_to_send(now):
            sent = wire.parse_header(datagram).packet_number + 1
        if sent:
            connection.receive(client.packet(wire.encode_ack([(0, sent)], 0)), now)
    assert isinstance(event := connection.next_event(), Closed)
    assert "left out" in event.reason
    assert connection.stats.packets_sent <= MIN_GAP + GAP_SPAN + 64


def test_an_honest_receiver_reports_the_gap_and_is_believed() -> None:
    connection = server(entropy=b"e" * 16)
    peer = Connection.connect(
        TransportConfig(), name="cam", token=b"a secret of tests", nonce=b"c" * 16, now=0.0
    )
    peer._take_session(SESSION, 0.0)
    connection.send(1, bytes(900_000), 0.0)
    now, longest = 0.0, 0
    while connection.queued_bytes(1) and now < 60.0:
        now = round(now + 0.01, 2)
        for datagram in connection.datagrams_to_send(now):
            peer.receive(datagram, now)
        connection.on_timer(now)
        for datagram in peer.datagrams_to_send(now):
            acks = [frame for frame in frames_of([datagram]) if isinstance(frame, wire.Ack)]
            longest = max([longest, *(len(ack.ranges) for ack in acks)])
            connection.receive(datagram, now)
        peer.on_timer(now)
    assert connection.queued_bytes(1) == 0
    assert connection.stats.packets_sent > 700
    assert connection.stats.packets_lost == 0
    assert longest <= 3  # old gaps are not reported for ever


# Addresses


def test_a_new_address_must_answer_before_it_is_used() -> None:
    paths = Paths()
    paths.current = HERE
    paths.on_newest(THERE)
    challenge = paths.challenge()
    assert challenge is not None
    token, address = challenge
    assert address == THERE
    assert paths.challenge() is None  # one challenge for each packet that triggers one
    assert paths.current == HERE
    assert not paths.on_response(token + 1, THERE)
    assert not paths.on_response(token, ELSEWHERE)
    assert paths.on_response(token, THERE)
    assert paths.current == THERE
    assert not paths.on_response(token, THERE)


def test_a_candidate_is_dropped_when_the_peer_is_heard_where_it_was() -> None:
    paths = Paths()
    paths.current = HERE
    paths.on_newest(THERE)
    token, _ = paths.challenge() or (0, None)
    paths.on_newest(HERE)
    assert not paths.on_response(token, THERE)
    assert paths.current == HERE


def test_an_answer_to_an_earlier_candidate_does_not_help_a_later_one() -> None:
    paths = Paths()
    paths.current = HERE
    paths.on_newest(THERE)
    token, _ = paths.challenge() or (0, None)
    paths.on_newest(ELSEWHERE)
    assert not paths.on_response(token, ELSEWHERE)


def test_a_captured_packet_sent_from_elsewhere_does_not_move_the_path() -> None:
    connection, client = server(), ScriptedClient()
    connection.datagrams_to_send(0.0)
    captured = client.packet(wire.PING_FRAME)
    assert connection.receive(captured, 1.0, ELSEWHERE)
    assert connection.address == HERE
    challenge = connection.challenge_to_send(1.0)
    assert challenge is not None
    datagram, address = challenge
    assert address == ELSEWHERE
    assert len(datagram) < 2 * len(captured)
    assert not connection.receive(captured, 1.1, ELSEWHERE)
    assert connection.challenge_to_send(1.1) is None  # a replay triggers no challenge
    connection.send(0, b"x", 1.2)
    assert connection.address == HERE


def test_a_camera_that_moved_is_followed_after_one_round_trip() -> None:
    connection, client = server(), ScriptedClient()
    connection.datagrams_to_send(0.0)
    connection.receive(client.packet(stream(0, 0, message(b"moved"))), 1.0, THERE)
    assert connection.next_event() == MessageReceived(0, b"moved")  # data from a new address count at once
    datagram, _ = connection.challenge_to_send(1.0) or (b"", None)
    (challenge,) = frames_of([datagram])
    assert isinstance(challenge, wire.PathChallenge)
    connection.receive(client.packet(wire.encode_path_response(challenge.token)), 1.1, THERE)
    assert connection.address == THERE
    assert connection.stats.migrations == 1


def test_a_challenge_is_answered_although_the_window_is_full() -> None:
    connection, client = server(), ScriptedClient()
    connection.send(1, bytes(100_000), 0.0)
    while connection.datagrams_to_send(0.0):
        pass
    connection.receive(client.packet(wire.encode_path_challenge(77)), 0.01)
    assert wire.PathResponse(77) in frames_of(connection.datagrams_to_send(0.01))


def test_the_client_stays_with_its_server() -> None:
    client = Connection.connect(
        TransportConfig(), name="cam", token=b"a secret of tests", nonce=b"c" * 16, now=0.0
    )
    client._take_session(SESSION, 0.0)
    client.address = HERE
    header = wire.HEADER.pack(wire.VERSION, wire.DATA, SESSION.connection_id, 0)
    client.receive(Seal(SESSION.server_key).sign(header + wire.PING_FRAME), 0.1, ELSEWHERE)
    assert client.challenge_to_send(0.1) is None
    assert client.address == HERE


# Memory


def test_empty_messages_shut_the_window_too() -> None:
    config = TransportConfig(channel_window_bytes=32 * 1024, channel_unread_bytes=50_000)
    connection, client = server(config), ScriptedClient()
    offset, limit, now = 0, config.channel_window_bytes, 0.0
    while offset + 1000 <= limit:
        now += 0.1
        connection.receive(client.packet(stream(0, offset, bytes(1000))), now)  # 250 empty messages
        offset += 1000
        for frame in frames_of(connection.datagrams_to_send(now)):
            if isinstance(frame, wire.Window):
                limit = frame.limit
    assert connection.buffered_bytes <= 50_000 + (config.channel_window_bytes // 4) * 128 + 32 * 1024


def test_tiny_out_of_order_pieces_are_charged_for_what_they_cost() -> None:
    config = TransportConfig(channel_window_bytes=32 * 1024)
    connection, client = server(config), ScriptedClient()
    for offset in range(1, 32 * 1024, 2):
        connection.receive(client.packet(stream(0, offset, b"x")), 1.0)
        assert connection.buffered_bytes <= 2 * 32 * 1024 + 200
    assert connection.state is not ConnectionState.OPEN


def test_video_in_single_bytes_is_a_violation_before_it_costs_much() -> None:
    connection, client = server(), ScriptedClient()
    total, offset = 8_000_000, 0
    while connection.state is ConnectionState.OPEN and offset < total - 200:
        pieces = [video(0, total, offset + 2 * index, b"x") for index in range(70)]
        connection.receive(client.packet(*pieces), 1.0)
        offset += 140
    assert offset <= 2 * MAX_PIECES + 200
    assert isinstance(event := connection.next_event(), Closed)
    assert "pieces" in event.reason


def test_a_connection_that_is_over_holds_only_whole_messages() -> None:
    connection, client = server(), ScriptedClient()
    connection.receive(client.packet(stream(0, 0, message(b"whole"))), 1.0)
    connection.receive(client.packet(stream(1, 0, message(bytes(5000))[:900])), 1.0)
    connection.receive(client.packet(stream(1, 2000, bytes(900))), 1.0)
    connection.receive(client.packet(video(0, 500_000, 0, b"x")), 1.0)
    connection.close(2.0)
    assert connection.buffered_bytes < 200
    assert connection.next_delivery() == MessageReceived(0, b"whole")
    assert connection.buffered_bytes == 0


def test_after_closing_a_replay_is_not_answered() -> None:
    connection, client = server(), ScriptedClient()
    connection.close(1.0)
    assert connection.datagrams_to_send(1.0)
    straggler = client.packet(wire.PING_FRAME)
    connection.receive(straggler, 1.1)
    assert len(connection.datagrams_to_send(1.1)) == 1
    for _ in range(5):
        connection.receive(straggler, 1.2)
        assert connection.datagrams_to_send(1.2) == []


def test_nothing_of_a_packet_counts_after_the_frame_that_closed_the_connection() -> None:
    connection, client = server(), ScriptedClient()
    connection.receive(client.packet(wire.encode_close(0, "bye"), stream(0, 0, message(b"late"))), 1.0)
    assert connection.next_event() == Closed("by the peer: bye")
    assert connection.next_event() is None


def test_sessions_differ_by_nonce_so_nothing_of_an_earlier_one_is_authentic() -> None:
    other = session(b"a secret of tests", "cam", b"d" * 16, b"s" * 16)
    connection, client = server(), ScriptedClient()
    client.seal = Seal(other.client_key)
    assert not connection.receive(client.packet(wire.PING_FRAME), 1.0)
    assert connection.stats.forged == 1
