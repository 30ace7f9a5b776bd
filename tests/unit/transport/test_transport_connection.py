"""The connection's limits and duties, datagram by datagram, with literal times."""

from __future__ import annotations

import pytest

from ecco_emu.transport import wire
from ecco_emu.transport.auth import Seal
from ecco_emu.transport.config import ITEM_BYTES, TransportConfig
from ecco_emu.transport.connection import Connection, ConnectionState
from ecco_emu.transport.events import (
    Closed,
    Connected,
    ConnectionClosed,
    MessageReceived,
    SendQueueFull,
    VideoOutcome,
    VideoReceived,
)
from tests.unit.transport.scripted import SESSION, ScriptedClient, frames_of, message, stream, video

CONFIG = TransportConfig(channel_window_bytes=32 * 1024, channel_unread_bytes=50_000)


def server(config: TransportConfig = CONFIG) -> Connection:
    connection = Connection.accept(config, SESSION, 0.0)
    assert connection.next_event() == Connected()
    return connection


def test_a_forged_datagram_leaves_no_trace() -> None:
    connection, client = server(), ScriptedClient()
    forged = client.packet(stream(0, 0, message(b"no")), seal=Seal(b"k" * 32))
    assert not connection.receive(forged, 1.0)
    assert connection.stats.forged == 1
    assert connection.stats.packets_received == 0
    assert connection.receive(client.packet(stream(0, 0, message(b"yes")), number=0), 1.0)
    assert connection.next_event() == MessageReceived(0, b"yes")


def test_a_replayed_packet_is_ignored_and_does_not_move_the_path() -> None:
    connection, client = server(), ScriptedClient()
    datagram = client.packet(stream(0, 0, message(b"once")))
    assert connection.receive(datagram, 1.0)
    assert not connection.receive(datagram, 2.0)
    assert connection.stats.duplicates == 1
    assert connection.next_event() == MessageReceived(0, b"once")
    assert connection.next_event() is None


def test_an_older_packet_counts_but_does_not_move_the_path() -> None:
    connection, client = server(), ScriptedClient()
    assert connection.receive(client.packet(wire.PING_FRAME, number=5), 1.0)
    assert not connection.receive(client.packet(wire.PING_FRAME, number=4), 1.0)
    assert connection.stats.packets_received == 2


def test_an_authentic_packet_that_does_not_parse_is_dropped_whole() -> None:
    connection, client = server(), ScriptedClient()
    connection.receive(client.packet(stream(0, 0, message(b"half")), b"\xff"), 1.0)
    assert connection.stats.malformed == 1
    assert connection.next_event() is None
    assert connection.state is ConnectionState.OPEN


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (wire.encode_ack([(0, 100)], 0), "never sent"),
        (stream(7, 0, b"x"), "no channel 7"),
        (wire.encode_window(7, 10), "no channel 7"),
        (stream(0, CONFIG.channel_window_bytes, b"x"), "past its window"),
        (stream(0, 0, (2**31).to_bytes(4, "big")), "a message of"),
        (video(0, 2**31, 0, b"x"), "a video message of"),
        (wire.encode_share(wire.ShareFrame(10**9, 0, 3000)), "a SHARE from a client"),
    ],
)
def test_a_violation_closes_the_connection_and_says_why(frame: bytes, reason: str) -> None:
    connection, client = server(), ScriptedClient()
    connection.receive(client.packet(frame), 1.0)
    event = connection.next_event()
    assert isinstance(event, Closed)
    assert reason in event.reason
    close = frames_of(connection.datagrams_to_send(1.0))
    assert isinstance(close[0], wire.Close)
    assert close[0].code == 1
    with pytest.raises(ConnectionClosed):
        connection.send(0, b"x", 1.0)


def test_packets_are_acknowledged_in_pairs_and_otherwise_after_25_ms() -> None:
    connection, client = server(), ScriptedClient()
    connection.datagrams_to_send(0.0)
    for _ in range(4):
        connection.receive(client.packet(wire.PING_FRAME), 0.5)
    connection.datagrams_to_send(0.5)
    connection.receive(client.packet(wire.PING_FRAME), 0.51)
    assert connection.datagrams_to_send(0.51) == []
    assert frames_of(connection.datagrams_to_send(0.535)) == [wire.Ack(25_000, ((0, 5),))]
    connection.receive(client.packet(wire.PING_FRAME), 0.54)
    connection.receive(client.packet(wire.PING_FRAME), 0.54)
    assert frames_of(connection.datagrams_to_send(0.54)) == [wire.Ack(0, ((0, 7),))]
    connection.receive(client.packet(wire.PING_FRAME, number=9), 3.0)  # a gap: at once
    assert frames_of(connection.datagrams_to_send(3.0)) == [wire.Ack(0, ((9, 10), (0, 7)))]


def test_a_packet_after_a_pause_is_acknowledged_at_once() -> None:
    """A slow sender's next packet will not come within the delay; waiting would only blur the RTT sample."""
    connection, client = server(), ScriptedClient()
    connection.datagrams_to_send(0.0)
    for _ in range(4):
        connection.receive(client.packet(wire.PING_FRAME), 0.5)
    connection.datagrams_to_send(0.5)
    connection.receive(client.packet(wire.PING_FRAME), 0.6)
    assert frames_of(connection.datagrams_to_send(0.6)) == [wire.Ack(0, ((0, 5),))]


def test_an_acknowledgement_is_not_acknowledged() -> None:
    connection, client = server(), ScriptedClient()
    connection.datagrams_to_send(0.0)
    connection.receive(client.packet(wire.encode_ack([(0, 1)], 0)), 0.1)
    assert connection.datagrams_to_send(10.0) == []


def test_unread_messages_shut_the_window_and_reading_opens_it() -> None:
    connection, client = server(), ScriptedClient()
    connection.datagrams_to_send(0.0)
    body, offset, now, windows = message(b"m" * 10_000), 0, 0.1, []
    for _ in range(7):
        for start in range(0, len(body), 1000):
            piece = body[start : start + 1000]
            connection.receive(client.packet(stream(1, offset, piece)), now)
            offset += len(piece)
        sent = frames_of(connection.datagrams_to_send(now))
        windows += [frame.limit for frame in sent if isinstance(frame, wire.Window)]
        connection.receive(client.packet(wire.encode_ack([(0, connection.stats.packets_sent)], 0)), now)
        now += 0.1
    shut_at = windows[-1]
    assert shut_at <= 50_000 + 10_004 + CONFIG.channel_window_bytes
    assert connection.buffered_bytes <= 70_000 + 7 * ITEM_BYTES
    while connection.next_event() is not None:
        pass
    sent = frames_of(connection.datagrams_to_send(now))
    assert wire.Window(1, offset + CONFIG.channel_window_bytes) in sent
    assert shut_at < offset + CONFIG.channel_window_bytes


def test_a_sender_obeys_the_window() -> None:
    connection, client = server(), ScriptedClient()
    connection.send(1, bytes(100_000), 0.0)
    now, seen = 0.0, 0
    for _ in range(200):
        now += 0.05
        connection.on_timer(now)
        for frame in frames_of(connection.datagrams_to_send(now)):
            if isinstance(frame, wire.Stream):
                seen = max(seen, frame.offset + len(frame.data))
        connection.receive(client.packet(wire.encode_ack([(0, connection.stats.packets_sent)], 0)), now)
    assert seen == CONFIG.channel_window_bytes
    connection.receive(client.packet(wire.encode_window(1, 60_000)), now)
    for _ in range(100):
        now += 0.05
        connection.on_timer(now)
        for frame in frames_of(connection.datagrams_to_send(now)):
            if isinstance(frame, wire.Stream):
                seen = max(seen, frame.offset + len(frame.data))
        connection.receive(client.packet(wire.encode_ack([(0, connection.stats.packets_sent)], 0)), now)
    assert seen == 60_000


def test_overlapping_pieces_are_put_together() -> None:
    connection, client = server(), ScriptedClient()
    body = message(bytes(range(200)))
    for start, end in ((100, 204), (60, 110), (10, 70), (0, 20)):
        connection.receive(client.packet(stream(0, start, body[start:end])), 1.0)
    assert connection.next_event() == MessageReceived(0, bytes(range(200)))
    assert connection.buffered_bytes == 0


def test_overlapping_pieces_cannot_fill_memory() -> None:
    connection, client = server(), ScriptedClient()
    for offset in range(1, 2000):
        connection.receive(client.packet(stream(0, offset, bytes(1000))), 1.0)
    assert connection.state is not ConnectionState.OPEN
    assert connection.buffered_bytes <= 2 * CONFIG.channel_window_bytes + 1000


def test_partial_video_is_bounded_and_freed_when_given_up() -> None:
    config = TransportConfig(video_receive_bytes=100_000, video_message_bytes=40_000)
    connection, client = server(config), ScriptedClient()
    for number in range(10):
        connection.receive(client.packet(video(number, 40_000, 0, b"x")), 1.0)
        assert connection.buffered_bytes <= 100_000
    connection.receive(client.packet(wire.encode_video_drop(9), wire.encode_video_drop(8)), 1.0)
    assert connection.buffered_bytes == 0
    connection.receive(client.packet(video(9, 40_000, 0, b"x")), 1.0)  # a late piece of a finished message
    assert connection.buffered_bytes == 0


def test_video_is_delivered_once() -> None:
    connection, client = server(), ScriptedClient()
    for _ in range(2):
        connection.receive(client.packet(video(3, 6, 3, b"def")), 1.0)
        connection.receive(client.packet(video(3, 6, 0, b"abc")), 1.0)
    assert connection.next_event() == VideoReceived(3, b"abcdef")
    assert connection.next_event() is None


def test_unread_video_is_bounded() -> None:
    config = TransportConfig(video_unread_bytes=2500)
    connection, client = server(config), ScriptedClient()
    for number in range(5):
        connection.receive(client.packet(video(number, 1000, 0, bytes(1000))), 1.0)
    assert connection.stats.video_unread_dropped == 3
    assert connection.next_event() == VideoReceived(3, bytes(1000))
    assert connection.next_event() == VideoReceived(4, bytes(1000))


@pytest.mark.parametrize(
    ("acked_s", "outcome"), [(0.98, "delivered"), (1.02, "delivered"), (1.2, "late"), (None, "lost")]
)
def test_the_outcome_of_video_goes_by_when_it_arrived(acked_s: float | None, outcome: str) -> None:
    connection, client = server(), ScriptedClient()
    connection.datagrams_to_send(0.0)
    connection.receive(client.packet(wire.encode_ack([(0, 1)], 0)), 0.1)
    number = connection.send_video(b"v" * 500, deadline=1.0, now=0.9)
    connection.datagrams_to_send(0.9)
    timer = 0.9
    while acked_s is None or timer < acked_s:
        connection.on_timer(timer)
        connection.datagrams_to_send(timer)
        timer = round(timer + 0.01, 2)
        if timer > 3.0:
            break
    if acked_s is not None:
        connection.receive(client.packet(wire.encode_ack([(0, 2)], 0)), acked_s)
    assert connection.next_event() == VideoOutcome(number, outcome)  # type: ignore[arg-type]
    assert connection.next_event() is None


def test_video_that_cannot_be_in_time_is_not_begun() -> None:
    connection, client = server(), ScriptedClient()
    connection.controller.ssthresh = connection.controller.window  # 960 kbit/s at the initial 100 ms
    hopeless = connection.send_video(bytes(200_000), deadline=0.5, now=0.0)
    possible = connection.send_video(bytes(20_000), deadline=0.5, now=0.0)
    sent = frames_of(connection.datagrams_to_send(0.0))
    assert {frame.message for frame in sent if isinstance(frame, wire.Video)} == {possible}
    assert connection.next_event() == VideoOutcome(hopeless, "lost")
    assert not any(isinstance(frame, wire.VideoDrop) for frame in sent)
    assert client.number == 0


def test_too_much_video_gives_up_the_oldest() -> None:
    config = TransportConfig(video_backlog_bytes=100_000)
    connection = server(config)
    for second in range(4):
        connection.send_video(bytes(40_000), deadline=60.0 + second, now=0.0)
    assert connection.video_backlog_bytes == 80_000
    assert [connection.next_event() for _ in range(3)] == [
        VideoOutcome(0, "lost"),
        VideoOutcome(1, "lost"),
        None,
    ]


def test_sending_limits() -> None:
    connection = server(TransportConfig(channel_queue_bytes=10_000, channel_message_bytes=(8000, 100)))
    connection.send(0, bytes(8000), 0.0)
    with pytest.raises(SendQueueFull, match="drain"):
        connection.send(0, bytes(8000), 0.0)
    with pytest.raises(ValueError, match="takes up to 100"):
        connection.send(1, bytes(101), 0.0)
    with pytest.raises(ValueError, match="no channel"):
        connection.send(2, b"", 0.0)
    with pytest.raises(ValueError, match="alpha"):
        connection.set_alpha(0.0)


def test_close_tells_the_peer_and_goes_away() -> None:
    connection, client = server(), ScriptedClient()
    number = connection.send_video(b"v", 10.0, 0.0)
    connection.close(1.0, "done")
    assert [connection.next_event() for _ in range(2)] == [VideoOutcome(number, "lost"), Closed("done")]
    assert frames_of(connection.datagrams_to_send(1.0)) == [wire.Close(0, "done")]
    assert connection.datagrams_to_send(1.0) == []
    connection.receive(
        client.packet(wire.PING_FRAME), 1.1
    )  # the peer has not received the CLOSE, so it is repeated
    assert frames_of(connection.datagrams_to_send(1.1)) == [wire.Close(0, "done")]
    due = connection.next_timer()
    assert due is not None
    connection.on_timer(due)
    assert connection.state is ConnectionState.CLOSED
    assert connection.next_timer() is None


def test_the_peers_close_ends_the_connection() -> None:
    connection, client = server(), ScriptedClient()
    connection.receive(client.packet(wire.encode_close(0, "bye")), 1.0)
    assert connection.next_event() == Closed("by the peer: bye")
    assert connection.datagrams_to_send(1.0) == []
