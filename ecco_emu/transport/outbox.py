"""Holds data that wait to be sent, and fills the next packet: control first, then video, then weights.

Every frame that must not get lost is noted in the packet's record. The record of a lost packet is given back
to the outbox, which sends its contents again. As in QUIC, packets themselves are never retransmitted (RFC
9000 section 13.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ecco_emu.core.errors import ProtocolError
from ecco_emu.transport import wire
from ecco_emu.transport.channels import SendChannel
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.deadline import VideoOutbox
from ecco_emu.transport.stats import ConnectionStats

Content = tuple[int, Any, int, int]
"""One frame of a sent packet: kind, channel or message, and the range of bytes."""
Parts = list[bytes | memoryview]

_STREAM, _VIDEO, _DROP, _WINDOW, _DONE = range(5)
_SMALL_REST_BYTES = 64
"""A packet with less room than this is full: a smaller piece would be mostly header."""
_DROPS_PER_PACKET = 32
"""VIDEO_DROP frames in one packet at most, so that they leave room for data."""


class Outbox:
    """The sending halves of all channels and of video, and the connection's own small frames."""

    __slots__ = (
        "_stats",
        "_window_limits",
        "_windows",
        "channels",
        "done_pending",
        "path_response",
        "pending_report",
        "ping_pending",
        "video",
    )

    def __init__(self, config: TransportConfig, stats: ConnectionStats) -> None:
        self._stats = stats
        self.channels = [SendChannel(n, config) for n in range(len(config.channel_message_bytes))]
        self.video = VideoOutbox(config, stats)
        self.done_pending = False
        """HANDSHAKE_DONE must be sent, for the first time or again."""
        self.ping_pending = False
        self.path_response: int | None = None
        """The token of the newest PATH_CHALLENGE. A lost answer is not repeated: the peer repeats the
        challenge."""
        self.pending_report: bytes | None = None
        """A SHARE or IDLE frame for the next packet. A lost one is not repeated: a newer one follows."""
        self._windows: set[int] = set()
        """Channels whose WINDOW must be sent, for the first time or again."""
        self._window_limits = [0] * len(self.channels)

    def has_data(self) -> bool:
        """Whether there is an ack-eliciting frame to send."""
        if self._windows or self.ping_pending or self.done_pending or self.video.drops:
            return True
        if self.path_response is not None:
            return True
        for channel in self.channels:
            if channel.has_data():
                return True
        return self.video.has_data()

    @property
    def owes_window(self) -> bool:
        """Whether a WINDOW frame waits."""
        return bool(self._windows)

    def announce(self, channel: int, limit: int) -> None:
        """Sends the peer a WINDOW: it may send on this channel up to ``limit``."""
        self._window_limits[channel] = limit
        self._windows.add(channel)

    def on_window(self, frame: wire.Window) -> None:
        """Takes the peer's WINDOW. Raises ``ProtocolError`` for a channel that does not exist."""
        if frame.channel >= len(self.channels):
            raise ProtocolError(f"no channel {frame.channel}")
        self.channels[frame.channel].on_window(frame.limit)

    def on_acked(self, contents: Sequence[Content], now: float, one_way_s: float) -> None:
        """The contents of a packet have arrived, about ``one_way_s`` ago."""
        for kind, target, start, end in contents:
            if kind == _STREAM:
                self.channels[target].on_acked(start, end)
            elif kind == _VIDEO:
                self.video.on_acked(target, start, end, now, one_way_s)

    def on_lost(self, contents: Sequence[Content], now: float) -> None:
        """The contents of a packet are lost. They are queued again, except video past its deadline."""
        for kind, target, start, end in contents:
            if kind == _STREAM:
                self.channels[target].on_lost(start, end)
            elif kind == _VIDEO:
                self.video.on_lost(target, start, end, now)
            elif kind == _DROP:
                self.video.drops[target] = None
            elif kind == _WINDOW:
                # The repeat carries the newest limit, not the lost one.
                self._windows.add(target)
            else:
                self.done_pending = True

    def fill(self, parts: Parts, contents: list[Content], room: int) -> None:
        """Adds frames of at most ``room`` bytes to ``parts``, and their records to ``contents``.

        The order is the priority: control and video never wait behind weights (channel 1 and up).
        """
        room = self._add_control(parts, contents, room)
        room = self._add_stream(self.channels[0], parts, contents, room)
        room = self._add_video(parts, contents, room)
        for channel in self.channels[1:]:
            room = self._add_stream(channel, parts, contents, room)

    def _add_control(self, parts: Parts, contents: list[Content], room: int) -> int:
        """Adds all frames other than application data, and returns the room that is left."""
        frames: list[bytes] = []
        if self.done_pending:
            self.done_pending = False
            frames.append(wire.DONE_FRAME)
            contents.append((_DONE, 0, 0, 0))
        if self.ping_pending:
            self.ping_pending = False
            frames.append(wire.PING_FRAME)
        if self.path_response is not None:
            frames.append(wire.encode_path_response(self.path_response))
            self.path_response = None
        while self._windows:
            number = self._windows.pop()
            frames.append(wire.encode_window(number, self._window_limits[number]))
            contents.append((_WINDOW, number, 0, 0))
        drops = self.video.drops
        if drops:
            for message in list(drops)[:_DROPS_PER_PACKET]:
                del drops[message]
                frames.append(wire.encode_video_drop(message))
                contents.append((_DROP, message, 0, 0))
        if not frames:
            return room
        parts.extend(frames)
        return room - sum(map(len, frames))

    def _add_video(self, parts: Parts, contents: list[Content], room: int) -> int:
        while room >= _SMALL_REST_BYTES:
            piece = self.video.take(room - wire.VIDEO_HEADER_BYTES)
            if piece is None:
                break
            video, offset, data, repeated = piece
            length = len(data)
            parts.append(wire.video_header(video.id, video.size, offset, length))
            parts.append(data)
            contents.append((_VIDEO, video, offset, offset + length))
            self._stats.video_bytes_sent += length
            if repeated:
                self._stats.bytes_retransmitted += length
            room -= wire.VIDEO_HEADER_BYTES + length
        return room

    def _add_stream(self, channel: SendChannel, parts: Parts, contents: list[Content], room: int) -> int:
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
                self._stats.bytes_retransmitted += length
            room -= wire.STREAM_HEADER_BYTES + length
        return room
