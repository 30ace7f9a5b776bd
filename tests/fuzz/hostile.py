"""A hostile session written down as bytes, so that Hypothesis and atheris can both generate it.

The peer holds the right key and sends any frames, valid or not. Strangers send garbage, replays and
mutations in between. The application goes on with its work. Whatever the bytes, nothing raises, the memory
held stays within ``TransportConfig.receive_bound_bytes``, and no turn sends without end.
"""

from __future__ import annotations

from contextlib import suppress

from ecco_emu.transport import wire
from ecco_emu.transport.auth import Seal, session
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.connection import Connection, ConnectionState
from ecco_emu.transport.events import ConnectionClosed, SendQueueFull
from ecco_emu.transport.handshake import ServerHandshake

TOKEN = b"a secret of tests"
SESSION = session(TOKEN, "cam", bytes(16), bytes(16))
CONFIG = TransportConfig(
    follow_shares=True,
    channel_message_bytes=(20_000, 40_000),
    channel_window_bytes=20_000,
    channel_unread_bytes=10_000,
    channel_queue_bytes=200_000,
    video_message_bytes=30_000,
    video_backlog_bytes=100_000,
    video_receive_bytes=60_000,
    video_unread_bytes=50_000,
)
_TURNS = 300
_ADDRESSES = (None, "here", "there")


class Script:
    """Reads decisions from a byte string, and zeros after its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def over(self) -> bool:
        return self._at >= len(self._data)

    def number(self, size: int = 1) -> int:
        return int.from_bytes(self.take(size).ljust(size, b"\0"), "big")

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken


class HostileSession:
    """One connection, on either side, and the operations that attack it."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.now = 0.0
        if script.number() % 2:
            self.connection = Connection.accept(CONFIG, SESSION, 0.0, entropy=bytes(16))
            self._seal = Seal(SESSION.client_key)
        else:
            self.connection = Connection.connect(
                CONFIG, name="cam", token=TOKEN, nonce=bytes(16), now=0.0, entropy=bytes(16)
            )
            self.connection._take_session(SESSION, 0.0)
            self._seal = Seal(SESSION.server_key)
        self.connection.address = "here"
        self._handshake = ServerHandshake({"cam": TOKEN}, secret=b"s" * 32)
        self._number = 0
        self._seen: list[bytes] = []
        self._newest_sent = -1

    def play(self) -> None:
        turns = (
            self._wait,
            self._send,
            self._raw_packet,
            self._frames,
            self._garbage,
            self._mutated,
            self._application,
            self._honest_ack,
        )
        for _ in range(_TURNS):
            if self._script.over:
                return
            turns[self._script.number() % len(turns)]()
            held = self.connection.buffered_bytes
            assert 0 <= held <= CONFIG.receive_bound_bytes, held

    def _wait(self) -> None:
        self.now += self._script.number() / 100
        timer = self.connection.next_timer()
        assert timer is None or timer == timer  # no NaN
        self.connection.on_timer(self.now)

    def _send(self) -> None:
        for _ in range(20):
            datagrams = self.connection.datagrams_to_send(self.now)
            if not datagrams:
                break
            for datagram in datagrams:
                assert len(datagram) <= CONFIG.max_datagram_bytes
                self._seen.append(datagram)
                self._newest_sent = wire.parse_header(datagram).packet_number
        else:
            raise AssertionError("a connection that never stops sending")
        challenge = self.connection.challenge_to_send(self.now)
        if challenge is not None:
            self._seen.append(challenge[0])
        del self._seen[:-64]

    def _deliver(self, datagram: bytes) -> None:
        address = _ADDRESSES[self._script.number() % len(_ADDRESSES)]
        self.connection.receive(datagram, self.now, address)
        self._handshake.receive(datagram, b"somewhere", self.now)

    def _packet(self, payload: bytes, kind: int = wire.DATA) -> None:
        header = wire.HEADER.pack(wire.VERSION, kind, SESSION.connection_id, self._number & 0xFFFFFFFF)
        self._number += 1
        datagram = self._seal.sign(header + payload)
        self._seen.append(datagram)
        self._deliver(datagram)

    def _raw_packet(self) -> None:
        script = self._script
        if script.number() % 8 == 0:
            self._number = script.number(4)
        self._packet(script.take(script.number()), kind=wire.DATA if script.number() % 4 else wire.CHALLENGE)

    def _frames(self) -> None:
        self._packet(b"".join(self._frame() for _ in range(1 + self._script.number() % 5)))

    def _frame(self) -> bytes:
        script = self._script
        kind, a, b, c = script.number() % 10, script.number(), script.number(2), script.number(2)
        if kind == 0:
            data = script.take(script.number()) or b"\0\0\0\0"
            return wire.stream_header(a % 3, b, len(data)) + data
        if kind == 1:
            data = bytes(1 + c % 300)
            return wire.video_header(a, max(b, 1), c % max(b, 1), len(data)) + data
        if kind == 2:
            newest = max(0, self._newest_sent + a % 4 - 1)
            return wire.encode_ack([(max(0, newest - b % 300), newest + 1)], c)
        if kind == 3:
            return wire.encode_window(a % 3, b * c)
        if kind == 4:
            return wire.encode_video_drop(b)
        if kind == 5:
            return wire.encode_path_response(a % 4)
        if kind == 6:
            return wire.encode_path_challenge(b)
        if kind == 7:
            return wire.PING_FRAME if a % 2 else wire.DONE_FRAME
        if kind == 8 and a % 2:
            return wire.encode_idle(b * c)
        if kind == 8:
            return wire.encode_share(wire.ShareFrame(b * c, b * a, (a - 128) * 100))
        return wire.encode_close(b, "x" * (c % 200)) if a > 250 else wire.PING_FRAME * (1 + c % 1000)

    def _garbage(self) -> None:
        self._deliver(self._script.take(self._script.number(2) % 1500))

    def _mutated(self) -> None:
        """A datagram of either side again, cut short, with some bytes changed, or as it was."""
        script = self._script
        if not self._seen:
            return
        datagram = bytearray(self._seen[script.number() % len(self._seen)])
        for _ in range(script.number() % 4):
            datagram[script.number(2) % len(datagram)] ^= 1 << (script.number() % 8)
        self._deliver(bytes(datagram[: len(datagram) - script.number() % 40]))

    def _application(self) -> None:
        script, connection = self._script, self.connection
        what, size = script.number() % 6, script.number(2)
        with suppress(ConnectionClosed, SendQueueFull):
            if what == 0:
                connection.send(size % 2, bytes(size % 20_000), self.now)
            elif what == 1:
                connection.send_video(bytes(1 + size % 30_000), self.now + size % 5, self.now)
            elif what == 2:
                connection.set_alpha(1 + size % 100)
            elif what == 3 and size > 65_000:
                connection.close(self.now)
            else:
                while connection.next_event() is not None:
                    pass

    def _honest_ack(self) -> None:
        """Acknowledges the newest packets that the connection has sent."""
        sent = sorted({wire.parse_header(datagram).packet_number for datagram in self._seen[-16:]})
        runs: list[tuple[int, int]] = []
        for number in sent:
            if number > self._newest_sent:
                continue
            if runs and runs[-1][1] == number:
                runs[-1] = (runs[-1][0], number + 1)
            else:
                runs.append((number, number + 1))
        if runs and self.connection.state is not ConnectionState.CLOSED:
            self._packet(wire.encode_ack(runs[::-1][: wire.MAX_ACK_RANGES], 0))


def play(data: bytes) -> None:
    """Raises an error if the connection breaks a rule."""
    HostileSession(Script(data)).play()
