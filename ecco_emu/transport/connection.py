"""One connection, sans-IO: datagrams and times in, datagrams, timers and events out.

The application calls ``send``, ``send_video``, ``set_alpha``, ``close`` and ``next_event``. The driver calls
``receive``, ``on_timer``, ``datagrams_to_send`` and ``next_timer``. After any call, the driver must send the
datagrams that ``datagrams_to_send`` returns, and call ``on_timer`` at the time that ``next_timer`` returns.
``now`` is in emulated seconds and never goes back. The ``Inbox`` puts arriving pieces together. Data to be
sent wait in the ``Outbox`` until the ``Sender`` packs them into a packet.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum, auto

from ecco_emu.core.errors import ProtocolError
from ecco_emu.transport import auth, wire
from ecco_emu.transport.acks import ReceivedPackets
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion import Controller
from ecco_emu.transport.events import (
    Closed,
    Connected,
    ConnectionClosed,
    Delivery,
    SendQueueFull,
    Signal,
    TransportEvent,
)
from ecco_emu.transport.handshake import ClientHandshake
from ecco_emu.transport.inbox import Inbox
from ecco_emu.transport.outbox import Outbox
from ecco_emu.transport.paths import Address, Paths
from ecco_emu.transport.sender import Sender
from ecco_emu.transport.share_report import ShareReport
from ecco_emu.transport.stats import ConnectionStats
from ecco_emu.transport.telemetry import DropReason, Telemetry

CLOSE_NORMAL, CLOSE_VIOLATION = 0, 1
_DRAIN_TIMEOUTS = 3
"""Probe timeouts for which a closed connection still answers packets (RFC 9000 section 10.2)."""
_NOT_ELICITING = frozenset((wire.Ack, wire.Close, wire.ShareFrame, wire.Idle))
"""Frames that do not ask for an acknowledgement (RFC 9002 section 2, "ack-eliciting")."""


class ConnectionState(Enum):
    HANDSHAKE = auto()
    """Client only: waiting for the server's challenge or its first data."""
    OPEN = auto()
    CLOSING = auto()
    """Closed on this side; every packet that still arrives is answered with CLOSE."""
    CLOSED = auto()


class Connection:
    """One side of a connection. Made by ``connect`` at a camera and by ``accept`` at the server."""

    def __init__(
        self,
        config: TransportConfig,
        now: float,
        telemetry: Telemetry | None = None,
        entropy: bytes | None = None,
    ) -> None:
        self.config = config
        self.stats = ConnectionStats()
        self.state = ConnectionState.HANDSHAKE
        self.name = ""
        self.connection_id = b""
        self._handshake: ClientHandshake | None = None
        self._is_client = False
        self.peer_idle_s = 0.0
        """Server: the total time in which the peer had nothing to send, from its newest IDLE frame."""
        self._peer_seal: auth.Seal | None = None
        self._received = ReceivedPackets(
            config.max_ack_delay_s,
            now,
            interval_s=config.ack_interval_s,
            most_unacked=config.ack_packets,
        )
        self._outbox = Outbox(config, self.stats)
        self._inbox = Inbox(config, self.stats, self._outbox.announce)
        self._sender = Sender(config, self.stats, self._outbox, self._received, now, telemetry, entropy)
        self._paths = Paths()
        self._telemetry = telemetry
        self._signals: deque[Signal] = deque()
        self._heard_s = now
        self._close_frame = b""
        self._close_pending = False
        self._close_s = math.inf

    @classmethod
    def connect(
        cls,
        config: TransportConfig,
        *,
        name: str,
        token: bytes,
        nonce: bytes,
        now: float,
        telemetry: Telemetry | None = None,
        entropy: bytes | None = None,
    ) -> Connection:
        """The client's side. ``nonce``: 16 unpredictable bytes that were never used before. ``entropy``: 16
        further bytes that nobody else learns; without them, acknowledgements of packets that have not arrived
        stay undetected (``skips``)."""
        connection = cls(config, now, telemetry, entropy)
        connection._paths.may_move = False
        connection.name = name
        connection._is_client = True
        connection._handshake = ClientHandshake(config, name=name, token=token, nonce=nonce, now=now)
        return connection

    @classmethod
    def accept(
        cls,
        config: TransportConfig,
        session: auth.Session,
        now: float,
        telemetry: Telemetry | None = None,
        entropy: bytes | None = None,
    ) -> Connection:
        """The server's side of a session that ``ServerHandshake`` made. ``entropy``: as for ``connect``."""
        connection = cls(config, now, telemetry, entropy)
        connection.name = session.name
        connection._take_session(session, now)
        connection._outbox.done_pending = True
        connection._open()
        return connection

    # The application's side

    def send(self, channel: int, message: bytes, now: float) -> None:
        """Queues a message on a reliable channel. Raises ``SendQueueFull``, ``ConnectionClosed``, or
        ``ValueError`` for an unknown channel or a message over its limit."""
        self._check_open()
        if not 0 <= channel < len(self._outbox.channels):
            raise ValueError(f"no channel {channel}")
        limit = self.config.channel_message_bytes[channel]
        if len(message) > limit:
            raise ValueError(f"a message of {len(message)} bytes; channel {channel} takes up to {limit}")
        sending = self._outbox.channels[channel]
        if sending.queued_bytes + len(message) > self.config.channel_queue_bytes:
            raise SendQueueFull(
                f"channel {channel} has {sending.queued_bytes} bytes waiting; drain it before sending more"
            )
        self._sender.resume(now)
        sending.queue(message)

    def send_video(self, message: bytes, deadline: float, now: float) -> int:
        """Queues a message that is worthless after ``deadline`` (emulated seconds), and returns its id.
        Raises ``ConnectionClosed``, or ``ValueError`` for an empty message or one over the limit."""
        self._check_open()
        self._sender.resume(now)
        number = self._outbox.video.queue(message, deadline)
        self._collect_outcomes()
        return number

    def set_alpha(self, alpha: float) -> None:
        """Sets GAIMD's increase, in packets per round trip (paper section 3.2.2)."""
        if not 0 < alpha <= 1000:
            raise ValueError(f"alpha must be in (0, 1000], got {alpha}")
        self.controller.alpha = alpha

    def report_share(self, report: ShareReport) -> None:
        """Server: sends the peer a report about its share. It replaces a report that still waits."""
        share = wire.ShareFrame(
            round(report.entitled_bytes_per_s),
            round(report.achieved_bytes_per_s),
            round(report.behind_s * 1e3),
        )
        self._outbox.pending_report = wire.encode_share(share)

    def close(self, now: float, reason: str = "closed") -> None:
        """Closes at once. Messages that were not delivered are dropped."""
        if self.state is ConnectionState.HANDSHAKE:
            self._finish(reason, now)
        elif self.state is ConnectionState.OPEN:
            self._begin_close(CLOSE_NORMAL, reason, now)

    def next_event(self) -> TransportEvent | None:
        """The next signal or, if there is none, the next delivery; None when both are taken."""
        return self._signals.popleft() if self._signals else self.next_delivery()

    def next_signal(self) -> Signal | None:
        """``Connected``, ``VideoOutcome`` or ``Closed``."""
        return self._signals.popleft() if self._signals else None

    def next_delivery(self) -> Delivery | None:
        """The next ``MessageReceived`` or ``VideoReceived``. Taking it makes room for more to be received."""
        return self._inbox.next_delivery()

    @property
    def controller(self) -> Controller:
        return self._sender.controller

    @property
    def has_delivery(self) -> bool:
        return self._inbox.has_delivery

    @property
    def owes_window(self) -> bool:
        """Whether a WINDOW frame waits to be sent: taking a delivery made room for the peer's data."""
        return self._outbox.owes_window

    @property
    def allowed_rate_bps(self) -> float:
        """The rate that congestion control allows, cwnd / srtt, in bits of UDP payload per second."""
        return self.controller.window * 8 / self._sender.recovery.rtt.smoothed_s

    @property
    def queue_delay_s(self) -> float:
        """The present queueing delay: the smoothed round-trip time less the shortest one."""
        return self._sender.recovery.rtt.queue_delay_s

    @property
    def rtt_s(self) -> float:
        return self._sender.recovery.rtt.smoothed_s

    @property
    def in_flight_bytes(self) -> int:
        return self._sender.recovery.in_flight_bytes

    @property
    def video_backlog_bytes(self) -> int:
        """Video bytes waiting to be sent or sent again."""
        return self._outbox.video.backlog_bytes

    @property
    def buffered_bytes(self) -> int:
        """Received bytes in memory: incomplete messages, and those the application has not taken."""
        return self._inbox.buffered_bytes

    def queued_bytes(self, channel: int) -> int:
        """Bytes of a channel that are queued and not acknowledged yet."""
        return self._outbox.channels[channel].queued_bytes

    def sent_offset(self, channel: int) -> int:
        """The channel's offset after the last queued byte, which ``acked_offset`` reaches in the end."""
        return self._outbox.channels[channel].end

    def acked_offset(self, channel: int) -> int:
        return self._outbox.channels[channel].acked_to

    # The driver's side

    @property
    def address(self) -> Address:
        """The destination of ``datagrams_to_send``. The driver sets it once, and gives ``receive`` the source
        of every datagram. A new source becomes the destination after validation (``paths``)."""
        return self._paths.current

    @address.setter
    def address(self, address: Address) -> None:
        self._paths.current = address

    def receive(self, datagram: bytes, now: float, address: Address = None) -> bool:
        """Takes a datagram from the network. Never raises, whatever the datagram holds. Returns whether the
        packet is authentic and newer than all packets before it."""
        if self.state is ConnectionState.CLOSED:
            return False
        # Nearly all are data of this connection.
        number = wire.data_packet_number(datagram, self.connection_id)
        if number >= 0:
            return self._receive_data(number, datagram, now, address)
        try:
            header = wire.parse_header(datagram)
        except ProtocolError:
            self.stats.malformed += 1
            return self._dropped(datagram, "malformed", now)
        if header.type == wire.CHALLENGE:
            self._receive_challenge(datagram, now)
            return False
        self.stats.forged += 1
        return self._dropped(datagram, "forged", now)

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """The datagrams that may leave now, at most ``sender.BATCH_DATAGRAMS``."""
        if self.state is ConnectionState.OPEN:
            return self._data_to_send(now)
        if self.state is ConnectionState.HANDSHAKE:
            return self._handshake_to_send(now)
        if self._close_pending:
            self._close_pending = False
            return [self._sender.packet((self._close_frame,), now)]
        return []

    def on_refused(self, size: int, now: float) -> None:
        """The socket did not take a datagram of ``size`` bytes because it is too large for the path."""
        self._sender.on_refused(size, now)

    @property
    def datagram_bytes(self) -> int:
        """The largest datagram that the path is believed to carry."""
        return self._sender.mtu.size

    def challenge_to_send(self, now: float) -> tuple[bytes, Address] | None:
        """A PATH_CHALLENGE for an address that may be the peer's new one, and that address."""
        challenge = self._paths.challenge()
        if challenge is None or self.state is not ConnectionState.OPEN:
            return None
        token, address = challenge
        return self._sender.packet((wire.encode_path_challenge(token),), now), address

    def next_timer(self) -> float | None:
        """When to call ``on_timer``: at once if that time is past, never if it is None."""
        if self.state is ConnectionState.OPEN:
            return self._open_timer()
        if self.state is ConnectionState.HANDSHAKE and self._handshake is not None:
            return min(self._handshake.next_attempt_s, self._handshake.deadline_s)
        return self._close_s if self.state is ConnectionState.CLOSING else None

    def on_timer(self, now: float) -> None:
        """Does the work that is due at ``now``. Early calls are harmless."""
        if self.state is ConnectionState.OPEN:
            self._on_open_timer(now)
        elif self.state is ConnectionState.CLOSING:
            if now >= self._close_s:
                self.state = ConnectionState.CLOSED
        elif self._handshake is not None and now >= self._handshake.deadline_s:
            self._finish("the handshake timed out", now)

    # Handshake and close

    def _take_session(self, session: auth.Session, now: float) -> None:
        own, peer = session.server_key, session.client_key
        if self._is_client:
            own, peer = peer, own
        # One key per direction: a datagram that is reflected to its sender fails authentication.
        self.connection_id = session.connection_id
        self._peer_seal = auth.Seal(peer)
        self._sender.begin(session.connection_id, own)
        if self._telemetry is not None:
            self._telemetry.started(session.connection_id, now)

    def _open(self) -> None:
        self.state = ConnectionState.OPEN
        self._handshake = None
        self._signals.append(Connected())

    def _receive_challenge(self, datagram: bytes, now: float) -> None:
        if self._handshake is None:
            return
        try:
            session = self._handshake.receive(datagram, now)
        except ProtocolError:
            self.stats.forged += 1
            return
        if session is not None:
            self._take_session(session, now)

    def _handshake_to_send(self, now: float) -> list[bytes]:
        datagram = self._handshake.datagram(now) if self._handshake is not None else None
        if datagram is None:
            return []
        self.stats.packets_sent += 1
        self.stats.bytes_sent += len(datagram)
        return [datagram]

    def _check_open(self) -> None:
        if self.state in (ConnectionState.CLOSING, ConnectionState.CLOSED):
            raise ConnectionClosed("this side has closed, or the peer has")

    def _begin_close(self, code: int, reason: str, now: float) -> None:
        """Sends CLOSE. It may be lost, so the connection stays to repeat it (RFC 9000 section 10.2.1)."""
        self._close_frame = wire.encode_close(code, reason)
        self._close_pending = True
        self._close_s = now + _DRAIN_TIMEOUTS * self._sender.recovery.timeout_s
        self._finish(reason, now)
        self.state = ConnectionState.CLOSING  # not CLOSED, which ``_finish`` has set

    def _finish(self, reason: str, now: float) -> None:
        """Ends the connection without telling the peer. Open videos get their outcome before ``Closed``."""
        self.state = ConnectionState.CLOSED
        if self._telemetry is not None and self.connection_id:
            self._telemetry.closed(reason, now)
        self._outbox.video.abandon()
        self._inbox.abandon()
        self._collect_outcomes()
        self._signals.append(Closed(reason))

    # Receiving

    def _receive_data(self, number: int, datagram: bytes, now: float, address: Address) -> bool:
        stats = self.stats
        if self._peer_seal is None or not self._peer_seal.verify(datagram):
            stats.forged += 1
            return self._dropped(datagram, "forged", now)
        received = self._received
        if number <= received.newest and received.seen(number):
            stats.duplicates += 1
            return self._dropped(datagram, "duplicate", now)
        if self.state is ConnectionState.CLOSING:
            received.note(number, False, now)  # so that a replay does not provoke another CLOSE
            self._close_pending = True
            return False
        try:
            frames = wire.parse_data(datagram)
        except ProtocolError:
            stats.malformed += 1
            return self._dropped(datagram, "malformed", now)
        stats.packets_received += 1
        stats.bytes_received += len(datagram)
        if self._telemetry is not None:
            self._telemetry.packet_received(number, len(datagram), frames, now)
        self._heard_s = now
        if self.state is ConnectionState.HANDSHAKE:
            # Authentic data prove that the server has made the connection, even if HANDSHAKE_DONE was lost.
            # The PING gives both sides a round-trip sample before there is application data.
            self._open()
            self._outbox.ping_pending = True
        newest = received.note(number, _eliciting(frames), now)
        if newest:
            # Only the newest packet may move the path: a reordered one shows where the peer has been (RFC
            # 9000 section 9.3).
            self._paths.on_newest(address)
        try:
            for frame in frames:
                self._on_frame(frame, newest, now, address)
                # A CLOSE ends the packet: nothing after it may change a finished connection.
                if self.state is not ConnectionState.OPEN:
                    break
        except ProtocolError as error:
            if self.state is ConnectionState.OPEN:
                self._begin_close(CLOSE_VIOLATION, str(error), now)
        if self._outbox.video.outcomes:
            self._collect_outcomes()
        return newest

    def _dropped(self, datagram: bytes, reason: DropReason, now: float) -> bool:
        """Reports the dropped datagram to the watcher. Always False, as ``receive`` returns."""
        if self._telemetry is not None and self.connection_id:
            self._telemetry.packet_dropped(len(datagram), reason, now)
        return False

    def _on_frame(self, frame: wire.WireFrame, newest: bool, now: float, address: Address) -> None:
        # The most frequent ones first.
        if isinstance(frame, wire.Stream):
            self._inbox.on_stream(frame)
        elif isinstance(frame, wire.Ack):
            self._sender.on_ack(frame, now)
        elif isinstance(frame, wire.Video):
            self._inbox.on_video(frame)
        elif isinstance(frame, wire.VideoDrop):
            self._inbox.on_video_drop(frame)
        elif isinstance(frame, wire.Window):
            self._outbox.on_window(frame)
        elif isinstance(frame, wire.Close):
            self._finish(f"by the peer: {frame.reason}", now)
        elif isinstance(frame, wire.PathChallenge):
            self._sender.answer_challenge(frame.token)
        elif isinstance(frame, wire.ShareFrame):
            self._on_share(frame, newest, now)
        elif isinstance(frame, wire.Idle):
            self._on_idle(frame, newest)
        elif isinstance(frame, wire.PathResponse) and self._paths.on_response(frame.token, address):
            self.stats.migrations += 1

    def _on_share(self, frame: wire.ShareFrame, newest: bool, now: float) -> None:
        if not self._is_client:
            raise ProtocolError("a SHARE from a client: only the server sees the others")
        if newest:  # a reordered report is older than the one in force
            report = ShareReport(
                float(frame.entitled_bytes_per_s), float(frame.achieved_bytes_per_s), frame.behind_ms / 1e3
            )
            self._sender.on_share(report, now)
            self._outbox.pending_report = wire.encode_idle(round(self._sender.idle_s(now) * 1e3))

    def _on_idle(self, frame: wire.Idle, newest: bool) -> None:
        if self._is_client:
            raise ProtocolError("an IDLE from the server")
        if newest:  # a reordered total would go back
            self.peer_idle_s = frame.total_ms / 1e3

    def _collect_outcomes(self) -> None:
        outcomes = self._outbox.video.outcomes
        if outcomes:
            self._signals.extend(outcomes)
            outcomes.clear()

    # Sending and timers

    def _data_to_send(self, now: float) -> list[bytes]:
        datagrams = self._sender.packets(now)
        self._collect_outcomes()
        if self._sender.exhausted:
            self._finish("packet numbers are used up", now)
        return datagrams

    def _open_timer(self) -> float:
        """The earliest of all timers. The sender's may be minus infinity ("at once"); the last line turns
        that into a time in the past that can be calculated with."""
        due_s = min(self._sender.next_timer(), self._heard_s + self.config.idle_timeout_s)
        if self.config.keepalive_s is not None and self._sender.quiet:
            # With packets in flight, probes already test the path.
            due_s = min(due_s, self._heard_s + self.config.keepalive_s)
        return max(due_s, self._heard_s)

    def _on_open_timer(self, now: float) -> None:
        if now >= self._heard_s + self.config.idle_timeout_s:
            self._finish("nothing was heard from the peer", now)
            return
        self._sender.on_timer(now)
        self._collect_outcomes()
        keepalive_s = self.config.keepalive_s
        if keepalive_s is not None and self._sender.quiet:
            self._outbox.ping_pending = now >= self._heard_s + keepalive_s


def _eliciting(frames: list[wire.WireFrame]) -> bool:
    """Whether a packet with these frames asks for an acknowledgement."""
    for frame in frames:
        kind = type(frame)
        if kind not in _NOT_ELICITING:
            return True
    return False
