"""Two connections joined without sockets, on a path that loses, reorders and repeats as scripted."""

from __future__ import annotations

import heapq
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecco_emu.transport.auth import session
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion import SharedGaimd
from ecco_emu.transport.connection import Connection, ConnectionState
from ecco_emu.transport.events import Closed, MessageReceived, VideoOutcome, VideoReceived
from ecco_emu.transport.share_report import ShareReport

TOKEN = b"a secret of tests"
CONFIG = TransportConfig(channel_window_bytes=64 * 1024)
CLIENT_ENTROPY, SERVER_ENTROPY = bytes([22, 3]) * 8, bytes([147, 3]) * 8
"""With these, the client skips packet number 2 and the server number 3."""


def pair(config: TransportConfig = CONFIG) -> tuple[Connection, Connection]:
    """A client and a server just after the handshake; the client has not received HANDSHAKE_DONE yet."""
    agreed = session(TOKEN, "cam", bytes(16), bytes(16))
    client = Connection.connect(
        config, name="cam", token=TOKEN, nonce=bytes(16), now=0.0, entropy=CLIENT_ENTROPY
    )
    client._take_session(agreed, 0.0)
    client._handshake.next_attempt_s = float("inf")  # type: ignore[union-attr]
    return client, Connection.accept(config, agreed, 0.0, entropy=SERVER_ENTROPY)


class ScriptedPath:
    """Fates are consumed one per datagram, then everything arrives after 10 ms."""

    def __init__(self, client: Connection, server: Connection, fates: list[str]) -> None:
        self.sides = (client, server)
        self.now = 0.0
        self._fates = iter(fates)
        self._flying: list[tuple[float, int, int, bytes]] = []
        self._count = itertools.count()
        self.signals: tuple[list[object], list[object]] = ([], [])
        self.deliveries: tuple[list[object], list[object]] = ([], [])
        self.most_buffered = 0

    def run(self, until_s: float) -> None:
        for _ in range(200_000):
            self._send()
            due = [timer for side in self.sides if (timer := side.next_timer()) is not None]
            if self._flying:
                due.append(self._flying[0][0])
            if not due or min(due) > until_s:
                self.now = until_s
                return
            self.now = max(self.now, *(when for when in due if when == min(due)))
            self._arrive()
            for side in self.sides:
                side.on_timer(self.now)
        raise AssertionError("the connections never come to rest")

    def _send(self) -> None:
        for index, side in enumerate(self.sides):
            while datagrams := side.datagrams_to_send(self.now):
                for datagram in datagrams:
                    assert len(datagram) <= side.config.max_datagram_bytes
                    self._dispatch(1 - index, datagram)
            while (signal := side.next_signal()) is not None:
                self.signals[index].append(signal)
            while (delivery := side.next_delivery()) is not None:
                self.deliveries[index].append(delivery)
            self.most_buffered = max(self.most_buffered, side.buffered_bytes)

    def _dispatch(self, to: int, datagram: bytes) -> None:
        fate = next(self._fates, "ok")
        delays = {"ok": [0.01], "lose": [], "late": [0.05], "later": [0.4], "twice": [0.01, 0.03]}[fate]
        for delay in delays:
            heapq.heappush(self._flying, (self.now + delay, next(self._count), to, datagram))

    def _arrive(self) -> None:
        while self._flying and self._flying[0][0] <= self.now:
            _, _, to, datagram = heapq.heappop(self._flying)
            self.sides[to].receive(datagram, self.now)


fates = st.lists(st.sampled_from(["ok", "ok", "ok", "lose", "late", "later", "twice"]), max_size=150)
sizes = st.one_of(st.integers(0, 50), st.integers(1000, 5000), st.integers(20_000, 90_000))
sending = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), sizes), min_size=1, max_size=8)
slow = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def content(index: int, size: int) -> bytes:
    return (index.to_bytes(4, "big") * (size // 4 + 1))[:size]


@slow
@given(fates, sending)
def test_reliable_messages_arrive_once_and_in_order(
    script: list[str], messages: list[tuple[int, int, int]]
) -> None:
    client, server = pair()
    path = ScriptedPath(client, server, script)
    for index, (side, channel, size) in enumerate(messages):
        path.sides[side].send(channel, content(index, size), 0.0)
    path.run(20.0)
    assert client.state is ConnectionState.OPEN
    assert server.state is ConnectionState.OPEN
    for side in (0, 1):
        for channel in (0, 1):
            expected = [
                content(index, size)
                for index, (sender, number, size) in enumerate(messages)
                if (sender, number) == (side, channel)
            ]
            got = [
                item.data
                for item in path.deliveries[1 - side]
                if isinstance(item, MessageReceived) and item.channel == channel
            ]
            assert got == expected
            assert path.sides[side].queued_bytes(channel) == 0
    assert path.most_buffered <= 2 * 90_000 + 4 * CONFIG.channel_window_bytes
    assert client.in_flight_bytes == server.in_flight_bytes == 0


@slow
@given(fates, st.lists(st.tuples(st.integers(1, 60_000), st.floats(0.0, 2.0)), min_size=1, max_size=8))
def test_video_is_delivered_or_reported(script: list[str], videos: list[tuple[int, float]]) -> None:
    client, server = pair()
    path = ScriptedPath(client, server, script)
    sent = {
        client.send_video(content(index, size), deadline, 0.0): content(index, size)
        for index, (size, deadline) in enumerate(videos)
    }
    path.run(10.0)
    outcomes = {item.id: item.outcome for item in path.signals[0] if isinstance(item, VideoOutcome)}
    assert outcomes.keys() == sent.keys()
    assert sum(isinstance(item, VideoOutcome) for item in path.signals[0]) == len(sent)
    received = {item.id: item.data for item in path.deliveries[1] if isinstance(item, VideoReceived)}
    assert len(received) == sum(isinstance(item, VideoReceived) for item in path.deliveries[1])
    for number, data in received.items():
        assert data == sent[number]
    for number, outcome in outcomes.items():
        if outcome != "lost":
            assert number in received
    assert client.video_backlog_bytes == 0
    assert server.buffered_bytes == 0
    assert client.in_flight_bytes == 0


@slow
@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.binary(max_size=1300)), max_size=30))
def test_garbage_changes_nothing(noise: list[tuple[int, bytes]]) -> None:
    client, server = pair()
    path = ScriptedPath(client, server, [])
    path.run(1.0)
    for side, datagram in noise:
        header = b"\x01\x04" + client.connection_id
        path.sides[side].receive(datagram, path.now)
        path.sides[side].receive(header + datagram, path.now)
    client.send(0, b"still here", path.now)
    path.run(2.0)
    assert path.deliveries[1] == [MessageReceived(0, b"still here")]
    assert not any(isinstance(item, Closed) for signals in path.signals for item in signals)


def test_a_share_report_steers_the_client_and_only_the_newest_counts() -> None:
    config = TransportConfig(follow_shares=True)
    client, server = pair(config)
    path = ScriptedPath(client, server, [])
    path.run(0.5)
    controller = client.controller
    assert isinstance(controller, SharedGaimd)
    server.report_share(ShareReport(50_000, 25_000, 1.5))
    server.report_share(ShareReport(60_000, 30_000, 1.5))  # replaces the report that waits
    reports = server.datagrams_to_send(path.now)
    assert len(reports) == 1
    client.receive(reports[0], path.now)
    assert controller.effective_alpha(path.now) > 0
    assert controller._entitled == 60_000
    answers = client.datagrams_to_send(path.now)
    assert len(answers) == 1  # an IDLE frame, without an acknowledgement
    server.receive(answers[0], path.now)
    assert server.peer_idle_s == pytest.approx(path.now, abs=0.1)
    assert server.datagrams_to_send(path.now + 1) == []
    server.report_share(ShareReport(10_000, 30_000, -3.0))
    old = server.datagrams_to_send(path.now)
    server.report_share(ShareReport(80_000, 80_000, 0.0))
    new = server.datagrams_to_send(path.now)
    client.receive(new[0], path.now)
    client.receive(old[0], path.now)  # reordered
    assert controller._entitled == 80_000


@given(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40), st.floats(-1e9, 1e9))
def test_whatever_a_server_reports_the_window_stays_within_its_bounds(
    entitled: int, achieved: int, behind_s: float
) -> None:
    client, server = pair(TransportConfig(follow_shares=True))
    path = ScriptedPath(client, server, [])
    client.send(1, bytes(50_000), 0.0)
    path.run(0.2)
    server.report_share(ShareReport(entitled, achieved, behind_s))
    client.send(1, bytes(50_000), path.now)
    path.run(2.0)
    assert 0 < client.controller.window <= 64 * 1024 * 1024
    assert client.state is ConnectionState.OPEN
    assert any(isinstance(item, MessageReceived) for item in path.deliveries[1])
