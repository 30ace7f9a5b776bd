"""One connection, sans-IO: datagrams and times in, datagrams, timers and events out.

The application's side is ``send``, ``send_video``, ``set_alpha``, ``close`` and ``next_event``; the
driver's is ``receive``, ``on_timer``, ``datagrams_to_send`` and ``next_timer``: after any call, send
what ``datagrams_to_send`` returns and call ``on_timer`` at ``next_timer``. ``now`` is emulated seconds
and never goes back. Acknowledgements go first, then control, video, weights.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum, auto
from typing import Any

from ecco_emu.core.errors import ProtocolError
from ecco_emu.transport import auth, wire
from ecco_emu.transport.channels import ReceiveChannel, SendChannel
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.deadline import VideoReceiver, VideoSender
from ecco_emu.transport.events import (
    Closed,
    Connected,
    ConnectionClosed,
    Delivery,
    Event,
    MessageReceived,
    SendQueueFull,
    Signal,
    VideoReceived,
)
from ecco_emu.transport.gaimd import Gaimd
from ecco_emu.transport.handshake import ClientHandshake
from ecco_emu.transport.pacing import Pacer
from ecco_emu.transport.ranges import RangeSet
from ecco_emu.transport.recovery import Recovery, SentPacket
from ecco_emu.transport.stats import ConnectionStats

BATCH_DATAGRAMS = 64
"""Most datagrams one call of ``datagrams_to_send`` returns."""
CLOSE_NORMAL, CLOSE_VIOLATION = 0, 1
_ACK_EVERY = 2
_EAGER_ACKS = 4
"""The first packets are acknowledged at once, so that both sides soon know the round trip."""
_MAX_RECEIVED_RANGES = 256
_SMALL_REST_BYTES = 64
"""A packet with less room than this is full."""
_DRAIN_TIMEOUTS = 3

# What a sent packet carried, by kind: (kind, channel or message, start, end).
_STREAM, _VIDEO, _DROP, _WINDOW, _DONE = range(5)
_Content = tuple[int, Any, int, int]


class State(Enum):
    HANDSHAKE = auto()
    """Client only: waiting for the server's challenge or its first data."""
    OPEN = auto()
    CLOSING = auto()
    """Closed on this side; answers what still comes with CLOSE."""
    CLOSED = auto()


class Connection:
    """Make one with ``connect`` (the camera's side) or ``accept`` (the server's)."""

    def __init__(self, config: TransportConfig, now: float) -> None:
        self.config = config
        self.stats = ConnectionStats()
        self.state = State.HANDSHAKE
        self.name = ""
        self.connection_id = b""
        self.controller = Gaimd(
            alpha=config.alpha,
            beta=config.beta,
            packet_bytes=config.max_datagram_bytes,
            initial_packets=config.initial_window_packets,
            min_packets=config.min_window_packets,
        )
        self._recovery = Recovery(config, self.controller, self.stats)
        self._pacer = Pacer(config.max_datagram_bytes, now)
        self._handshake: ClientHandshake | None = None
        self._is_client = False
        self._seal: auth.Seal | None = None
        self._peer_seal: auth.Seal | None = None
        self._next_number = 0
        self._room = config.max_datagram_bytes - wire.OVERHEAD_BYTES

        count = len(config.channel_message_bytes)
        self._send_channels = [SendChannel(number, config) for number in range(count)]
        self._receive_channels = [ReceiveChannel(number, config) for number in range(count)]
        self._video_out = VideoSender(config, self.stats)
        self._video_in = VideoReceiver(config, self.stats)
        self._signals: deque[Signal] = deque()
        self._deliveries: deque[Delivery] = deque()
        self._video_unread_bytes = 0

        self._received = RangeSet()
        self._received_floor = 0
        self._largest_received = -1
        self._largest_received_s = now
        self._unacked = 0
        self._ack_s: float | None = None

        self._windows: set[int] = set()
        """Channels whose WINDOW must be sent (again)."""
        self._done_pending = False
        self._ping_pending = False
        self._probes = 0
        self._heard_s = now
        self._close_frame = b""
        self._close_pending = False
        self._close_s = math.inf

    @classmethod
    def connect(
        cls, config: TransportConfig, *, name: str, token: bytes, nonce: bytes, now: float
    ) -> Connection:
        """The client's side. ``nonce``: 16 unpredictable bytes, never used before."""
        connection = cls(config, now)
        connection.name = name
        connection._is_client = True
        connection._handshake = ClientHandshake(config, name=name, token=token, nonce=nonce, now=now)
        return connection

    @classmethod
    def accept(cls, config: TransportConfig, session: auth.Session, now: float) -> Connection:
        """The server's side of a session that ``ServerHandshake`` made."""
        connection = cls(config, now)
        connection.name = session.name
        connection._take_session(session)
        connection._done_pending = True
        connection._open()
        return connection

    # The application's side

    def send(self, channel: int, message: bytes, now: float) -> None:
        """Queues a message on a reliable channel. Raises ``SendQueueFull`` or ``ConnectionClosed``."""
        self._check_open()
        if not 0 <= channel < len(self._send_channels):
            raise ValueError(f"no channel {channel}")
        limit = self.config.channel_message_bytes[channel]
        if len(message) > limit:
            raise ValueError(f"a message of {len(message)} bytes; channel {channel} takes up to {limit}")
        sending = self._send_channels[channel]
        if sending.queued_bytes + len(message) > self.config.channel_queue_bytes:
            raise SendQueueFull(
                f"channel {channel} has {sending.queued_bytes} bytes waiting; drain it before sending more"
            )
        self._resume(now)
        sending.queue(message)

    def send_video(self, message: bytes, deadline: float, now: float) -> int:
        """Queues a message that is worth nothing after ``deadline``; its id. Raises ``ConnectionClosed``."""
        self._check_open()
        self._resume(now)
        number = self._video_out.queue(message, deadline)
        self._collect_outcomes()
        return number

    def set_alpha(self, alpha: float) -> None:
        """GAIMD's increase in packets per round trip, from now on."""
        if not 0 < alpha <= 1000:
            raise ValueError(f"alpha must be in (0, 1000], got {alpha}")
        self.controller.alpha = alpha

    def ping(self) -> None:
        """Asks the peer for a sign of life."""
        self._ping_pending = True

    def close(self, now: float, reason: str = "closed") -> None:
        """Closes at once; what was not delivered is dropped."""
        if self.state is State.HANDSHAKE:
            self._finish(reason)
        elif self.state is State.OPEN:
            self._begin_close(CLOSE_NORMAL, reason, now)

    def next_event(self) -> Event | None:
        """Signals first, then messages and video in order of completion."""
        return self._signals.popleft() if self._signals else self.next_delivery()

    def next_signal(self) -> Signal | None:
        """``Connected``, ``VideoOutcome`` or ``Closed``."""
        return self._signals.popleft() if self._signals else None

    def next_delivery(self) -> Delivery | None:
        """``MessageReceived`` or ``VideoReceived``; taking one makes room for more to be received."""
        if not self._deliveries:
            return None
        delivery = self._deliveries.popleft()
        if isinstance(delivery, MessageReceived):
            channel = self._receive_channels[delivery.channel]
            channel.unread_bytes -= len(delivery.data)
            self._announce_window(channel)
        else:
            self._video_unread_bytes -= len(delivery.data)
        return delivery

    @property
    def has_delivery(self) -> bool:
        return bool(self._deliveries)

    @property
    def allowed_rate_bps(self) -> float:
        """cwnd / srtt: what congestion control lets through, in bits of UDP payload per second."""
        return self.controller.window * 8 / self._recovery.rtt.smoothed_s

    @property
    def queue_delay_s(self) -> float:
        """How much longer than the shortest the round trip is now: what stands in queues."""
        return self._recovery.rtt.queue_delay_s

    @property
    def rtt_s(self) -> float:
        return self._recovery.rtt.smoothed_s

    @property
    def min_rtt_s(self) -> float:
        return self._recovery.rtt.min_s

    @property
    def in_flight_bytes(self) -> int:
        return self._recovery.in_flight_bytes

    @property
    def video_backlog_bytes(self) -> int:
        """Video bytes waiting to be sent or sent again."""
        return self._video_out.backlog_bytes

    @property
    def buffered_bytes(self) -> int:
        """Received bytes held: reassembly and what the application has not taken."""
        channels = sum(channel.buffered_bytes for channel in self._receive_channels)
        return channels + self._video_in.partial_bytes + self._video_unread_bytes

    def queued_bytes(self, channel: int) -> int:
        """Bytes of a channel that are not acknowledged yet."""
        return self._send_channels[channel].queued_bytes

    def sent_offset(self, channel: int) -> int:
        """Offset after everything queued so far; ``acked_offset`` reaches it when all has arrived."""
        return self._send_channels[channel].end

    def acked_offset(self, channel: int) -> int:
        return self._send_channels[channel].acked_to

    # The driver's side

    def receive(self, datagram: bytes, now: float) -> bool:
        """Takes a datagram from the network; never raises, whatever it holds.

        True: it is authentic and newer than all before it, so the address it came from is the peer's.
        """
        if self.state is State.CLOSED:
            return False
        try:
            header = wire.parse_header(datagram)
        except ProtocolError:
            self.stats.malformed += 1
            return False
        if header.type == wire.CHALLENGE:
            self._receive_challenge(datagram, now)
            return False
        if header.type != wire.DATA or header.connection_id != self.connection_id:
            self.stats.forged += 1
            return False
        return self._receive_data(header.packet_number, datagram, now)

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """What may leave now, at most ``BATCH_DATAGRAMS``."""
        if self.state is State.OPEN:
            return self._data_to_send(now)
        if self.state is State.HANDSHAKE:
            return self._handshake_to_send(now)
        if self._close_pending:
            self._close_pending = False
            return [self._seal_packet((self._close_frame,))]
        return []

    def next_timer(self) -> float | None:
        """When ``on_timer`` is next needed; it may be in the past, meaning at once."""
        if self.state is State.OPEN:
            return self._open_timer()
        if self.state is State.HANDSHAKE and self._handshake is not None:
            return min(self._handshake.next_attempt_s, self._handshake.deadline_s)
        return self._close_s if self.state is State.CLOSING else None

    def on_timer(self, now: float) -> None:
        """Does what is due; early calls are harmless."""
        if self.state is State.OPEN:
            self._on_open_timer(now)
        elif self.state is State.CLOSING:
            if now >= self._close_s:
                self.state = State.CLOSED
        elif self._handshake is not None and now >= self._handshake.deadline_s:
            self._finish("the handshake timed out")

    # Handshake and close

    def _take_session(self, session: auth.Session) -> None:
        own, peer = session.server_key, session.client_key
        if self._is_client:
            own, peer = peer, own
        self.connection_id = session.connection_id
        self._seal, self._peer_seal = auth.Seal(own), auth.Seal(peer)

    def _open(self) -> None:
        self.state = State.OPEN
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
            self._take_session(session)

    def _handshake_to_send(self, now: float) -> list[bytes]:
        datagram = self._handshake.datagram(now) if self._handshake is not None else None
        if datagram is None:
            return []
        self.stats.packets_sent += 1
        self.stats.bytes_sent += len(datagram)
        return [datagram]

    def _check_open(self) -> None:
        if self.state in (State.CLOSING, State.CLOSED):
            raise ConnectionClosed("this side has closed, or the peer has")

    def _begin_close(self, code: int, reason: str, now: float) -> None:
        self._close_frame = wire.encode_close(code, reason)
        self._close_pending = True
        self._close_s = now + _DRAIN_TIMEOUTS * self._recovery.timeout_s
        self._finish(reason)
        self.state = State.CLOSING

    def _finish(self, reason: str) -> None:
        self.state = State.CLOSED
        self._video_out.abandon()
        self._collect_outcomes()
        self._signals.append(Closed(reason))

    # Receiving

    def _receive_data(self, number: int, datagram: bytes, now: float) -> bool:
        stats = self.stats
        if self._peer_seal is None or not self._peer_seal.verify(datagram):
            stats.forged += 1
            return False
        if number < self._received_floor or number in self._received:
            stats.duplicates += 1
            return False
        if self.state is State.CLOSING:
            self._close_pending = True
            return False
        try:
            frames = wire.parse_frames(memoryview(datagram)[wire.HEADER.size : -wire.TAG_BYTES])
        except ProtocolError:
            stats.malformed += 1
            return False
        stats.packets_received += 1
        stats.bytes_received += len(datagram)
        self._heard_s = now
        if self.state is State.HANDSHAKE:
            self._open()
            self._ping_pending = True
        newest = number > self._largest_received
        self._note_received(number, frames, now)
        try:
            for frame in frames:
                self._on_frame(frame, now)
        except ProtocolError as error:
            if self.state is State.OPEN:
                self._begin_close(CLOSE_VIOLATION, str(error), now)
        self._collect_outcomes()
        return newest

    def _note_received(self, number: int, frames: list[wire.Frame], now: float) -> None:
        in_order = number == self._largest_received + 1
        self._received.add(number, number + 1)
        if len(self._received) > _MAX_RECEIVED_RANGES:
            self._received_floor = self._received.forget_oldest()
        if number > self._largest_received:
            self._largest_received = number
            self._largest_received_s = now
        if all(isinstance(frame, wire.Ack | wire.Close) for frame in frames):
            return
        self._unacked += 1
        if self._unacked >= _ACK_EVERY or not in_order or number < _EAGER_ACKS:
            self._ack_s = now
        elif self._ack_s is None:
            self._ack_s = now + self.config.max_ack_delay_s

    def _on_frame(self, frame: wire.Frame, now: float) -> None:
        if isinstance(frame, wire.Stream):
            self._on_stream(frame)
        elif isinstance(frame, wire.Ack):
            self._on_ack(frame, now)
        elif isinstance(frame, wire.Video):
            data = self._video_in.receive(frame.message, frame.total, frame.offset, frame.data)
            if data is not None:
                self._deliver_video(VideoReceived(frame.message, data))
        elif isinstance(frame, wire.VideoDrop):
            self._video_in.finish(frame.message)
        elif isinstance(frame, wire.Window):
            if frame.channel >= len(self._send_channels):
                raise ProtocolError(f"no channel {frame.channel}")
            self._send_channels[frame.channel].on_window(frame.limit)
        elif isinstance(frame, wire.Close):
            self._finish(f"by the peer: {frame.reason}")

    def _on_stream(self, frame: wire.Stream) -> None:
        if frame.channel >= len(self._receive_channels):
            raise ProtocolError(f"no channel {frame.channel}")
        channel = self._receive_channels[frame.channel]
        for message in channel.receive(frame.offset, frame.data):
            self._deliveries.append(MessageReceived(frame.channel, message))
        self._announce_window(channel)

    def _announce_window(self, channel: ReceiveChannel) -> None:
        if channel.window() is not None:
            self._windows.add(channel.number)

    def _deliver_video(self, video: VideoReceived) -> None:
        self._deliveries.append(video)
        self._video_unread_bytes += len(video.data)
        while self._video_unread_bytes > self.config.video_unread_bytes:
            oldest = next(item for item in self._deliveries if isinstance(item, VideoReceived))
            self._deliveries.remove(oldest)
            self._video_unread_bytes -= len(oldest.data)
            self.stats.video_unread_dropped += 1

    def _on_ack(self, frame: wire.Ack, now: float) -> None:
        acked, lost = self._recovery.on_ack(frame.ranges, frame.delay_us / 1e6, now, self._next_number)
        one_way_s = self._recovery.rtt.smoothed_s / 2
        for packet in acked:
            for kind, target, start, end in packet.contents:
                if kind == _STREAM:
                    self._send_channels[target].on_acked(start, end)
                elif kind == _VIDEO:
                    self._video_out.on_acked(target, start, end, now, one_way_s)
        for packet in lost:
            self._requeue(packet, now)
        if acked:
            self._update_pace(now)

    def _requeue(self, packet: SentPacket, now: float) -> None:
        for kind, target, start, end in packet.contents:
            if kind == _STREAM:
                self._send_channels[target].on_lost(start, end)
            elif kind == _VIDEO:
                self._video_out.on_lost(target, start, end, now)
            elif kind == _DROP:
                self._video_out.drops[target] = None
            elif kind == _WINDOW:
                self._windows.add(target)
            else:
                self._done_pending = True

    def _update_pace(self, now: float) -> None:
        controller = self.controller
        gain = 2.0 if controller.slow_start else self.config.pacing_gain
        self._pacer.set_rate(gain * controller.window / self._recovery.rtt.smoothed_s, now)

    def _collect_outcomes(self) -> None:
        if self._video_out.outcomes:
            self._signals.extend(self._video_out.outcomes)
            self._video_out.outcomes.clear()

    # Timers

    def _open_timer(self) -> float:
        due_s = self._heard_s + self.config.idle_timeout_s
        for candidate in (self._ack_s, self._recovery.next_timer(), self._video_out.next_expiry_s):
            if candidate is not None and candidate < due_s:
                due_s = candidate
        if self._quiet and self.config.keepalive_s is not None:
            due_s = min(due_s, self._heard_s + self.config.keepalive_s)
        if self._probes or (self._window_open() and self._has_data()):
            size = self.config.max_datagram_bytes
            due_s = min(due_s, self._heard_s if self._probes else self._pacer.next_time(size, -math.inf))
        return due_s

    def _on_open_timer(self, now: float) -> None:
        if now >= self._heard_s + self.config.idle_timeout_s:
            self._finish("nothing was heard from the peer")
            return
        lost, probe = self._recovery.on_timer(now)
        for packet in lost:
            self._requeue(packet, now)
        if lost:
            self._update_pace(now)
        if probe:
            oldest = self._recovery.oldest()
            if oldest is not None:
                self._requeue(oldest, now)
            self._probes = 1 if self._recovery.probe_count > 1 else 2
        self._expire_video(now)
        keepalive_s = self.config.keepalive_s
        if self._quiet and keepalive_s is not None:
            self._ping_pending = now >= self._heard_s + keepalive_s

    @property
    def _quiet(self) -> bool:
        """Nothing is on its way that will make the peer answer."""
        return not self._recovery.in_flight_bytes and not self._ping_pending

    def _expire_video(self, now: float) -> None:
        self._video_out.expire(now, self._recovery.timeout_s)
        self._collect_outcomes()

    def _resume(self, now: float) -> None:
        """Before new data is queued: an idle connection restarts with care."""
        recovery = self._recovery
        if not recovery.in_flight_bytes and recovery.last_sent_s > -math.inf and not self._has_data():
            self.controller.on_idle(now - recovery.last_sent_s, recovery.timeout_s)

    # Sending

    def _window_open(self) -> bool:
        return self._recovery.in_flight_bytes + self.config.max_datagram_bytes <= self.controller.window

    def _has_data(self) -> bool:
        if self._windows or self._ping_pending or self._done_pending or self._video_out.drops:
            return True
        for channel in self._send_channels:
            if channel.has_data():
                return True
        return self._video_out.has_data()

    def _data_to_send(self, now: float) -> list[bytes]:
        expiry_s = self._video_out.next_expiry_s
        if expiry_s is not None and expiry_s <= now:
            self._expire_video(now)
        if expiry_s is not None and not self._recovery.probe_count:
            self._shed_video(now)
        datagrams: list[bytes] = []
        size = self.config.max_datagram_bytes
        while len(datagrams) < BATCH_DATAGRAMS:
            free = self._probes > 0 or (self._window_open() and self._pacer.allows(size, now))
            datagram = self._next_packet(free, now)
            if datagram is None:
                break
            datagrams.append(datagram)
        return datagrams

    def _shed_video(self, now: float) -> None:
        """Uses the rate that sending is heading for: in slow start that is not known yet."""
        window = max(self.controller.window, self.controller.ssthresh)
        self._video_out.shed(now, window / self._recovery.rtt.smoothed_s)
        self._collect_outcomes()

    def _next_packet(self, free: bool, now: float) -> bytes | None:
        """One packet: with data if ``free`` and there is some, or only an acknowledgement that is due."""
        parts: list[bytes | memoryview] = []
        contents: list[_Content] = []
        eliciting = False
        if free:
            if self._probes:
                self._probes -= 1
                self._ping_pending |= not self._has_data()
            eliciting = self._has_data()  # a probe has made sure of it
        ack_due = self._ack_s is not None and (eliciting or self._ack_s <= now)
        if not eliciting and not ack_due:
            return None
        if self._next_number > wire.MAX_PACKET_NUMBER:
            self._finish("packet numbers are used up")
            return None
        room = self._room
        if ack_due:
            parts.append(self._ack_frame(now))
            room -= len(parts[0])
        if eliciting:
            room = self._add_control(parts, contents, room)
            self._add_data(parts, contents, room)
        datagram = self._seal_packet(parts)
        if eliciting:
            packet = SentPacket(self._next_number - 1, now, len(datagram), contents)
            self._recovery.on_sent(packet)
            self._pacer.spend(len(datagram))
        return datagram

    def _seal_packet(self, parts: tuple[bytes, ...] | list[bytes | memoryview]) -> bytes:
        assert self._seal is not None
        head = wire.HEADER.pack(wire.VERSION, wire.DATA, self.connection_id, self._next_number)
        self._next_number += 1
        datagram = self._seal.sign(b"".join((head, *parts)))
        self.stats.packets_sent += 1
        self.stats.bytes_sent += len(datagram)
        return datagram

    def _ack_frame(self, now: float) -> bytes:
        self._ack_s = None
        self._unacked = 0
        delay_us = round((now - self._largest_received_s) * 1e6)
        return wire.encode_ack(self._received.newest(wire.MAX_ACK_RANGES), max(delay_us, 0))

    def _add_control(self, parts: list[bytes | memoryview], contents: list[_Content], room: int) -> int:
        """Everything but application data; the room that is left."""
        frames: list[bytes] = []
        if self._done_pending:
            self._done_pending = False
            frames.append(wire.DONE_FRAME)
            contents.append((_DONE, 0, 0, 0))
        if self._ping_pending:
            self._ping_pending = False
            frames.append(wire.PING_FRAME)
        while self._windows:
            number = self._windows.pop()
            frames.append(wire.encode_window(number, self._receive_channels[number].announced))
            contents.append((_WINDOW, number, 0, 0))
        drops = self._video_out.drops
        for message in list(drops)[:32]:
            del drops[message]
            frames.append(wire.encode_video_drop(message))
            contents.append((_DROP, message, 0, 0))
        parts.extend(frames)
        return room - sum(map(len, frames))

    def _add_data(self, parts: list[bytes | memoryview], contents: list[_Content], room: int) -> None:
        """Fills the packet: control, then video, then weights."""
        room = self._add_stream(self._send_channels[0], parts, contents, room)
        while room >= _SMALL_REST_BYTES:
            piece = self._video_out.take(room - wire.VIDEO_HEADER_BYTES)
            if piece is None:
                break
            video, offset, data, repeated = piece
            length = len(data)
            parts.append(wire.video_header(video.id, video.size, offset, length))
            parts.append(data)
            contents.append((_VIDEO, video, offset, offset + length))
            self.stats.video_bytes_sent += length
            if repeated:
                self.stats.bytes_retransmitted += length
            room -= wire.VIDEO_HEADER_BYTES + length
        for channel in self._send_channels[1:]:
            room = self._add_stream(channel, parts, contents, room)

    def _add_stream(
        self,
        channel: SendChannel,
        parts: list[bytes | memoryview],
        contents: list[_Content],
        room: int,
    ) -> int:
        while room >= _SMALL_REST_BYTES:
            piece = channel.take(room - wire.STREAM_HEADER_BYTES)
            if piece is None:
                break
            offset, data, repeated = piece
            length = len(data)
            parts.append(wire.stream_header(channel.number, offset, length))
            parts.append(data)
            contents.append((_STREAM, channel.number, offset, offset + length))
            if repeated:
                self.stats.bytes_retransmitted += length
            room -= wire.STREAM_HEADER_BYTES + length
        return room
