"""What waits to be sent, and what goes into the next packet: control first, then video, then weights.

Every frame that matters is put on the packet's record; a lost packet's record puts it back here.
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
"""What a sent packet carried: (kind, channel or message, start, end)."""
Parts = list[bytes | memoryview]

_STREAM, _VIDEO, _DROP, _WINDOW, _DONE = range(5)
_SMALL_REST_BYTES = 64
"""A packet with less room than this is full."""
_DROPS_PER_PACKET = 32


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
        """HANDSHAKE_DONE must be sent (again)."""
        self.ping_pending = False
        self.path_response: int | None = None
        """The token of the newest PATH_CHALLENGE; never sent again, the challenge is."""
        self.pending_report: bytes | None = None
        """A SHARE or IDLE frame to send with the next packet; never sent again, a newer one is."""
        self._windows: set[int] = set()
        """Channels whose WINDOW must be sent (again)."""
        self._window_limits = [0] * len(self.channels)

    def has_data(self) -> bool:
        """Anything but an acknowledgement."""
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
        return bool(self._windows)

    def announce(self, channel: int, limit: int) -> None:
        """The peer may send on this channel up to ``limit``; tell it."""
        self._window_limits[channel] = limit
        self._windows.add(channel)

    def on_window(self, frame: wire.Window) -> None:
        """Raises ``ProtocolError`` for a channel that does not exist."""
        if frame.channel >= len(self.channels):
            raise ProtocolError(f"no channel {frame.channel}")
        self.channels[frame.channel].on_window(frame.limit)

    def on_acked(self, contents: Sequence[Content], now: float, one_way_s: float) -> None:
        """What a packet carried has arrived, about ``one_way_s`` ago."""
        for kind, target, start, end in contents:
            if kind == _STREAM:
                self.channels[target].on_acked(start, end)
            elif kind == _VIDEO:
                self.video.on_acked(target, start, end, now, one_way_s)

    def on_lost(self, contents: Sequence[Content], now: float) -> None:
        """What a packet carried must be sent again, where it is still worth it."""
        for kind, target, start, end in contents:
            if kind == _STREAM:
                self.channels[target].on_lost(start, end)
            elif kind == _VIDEO:
                self.video.on_lost(target, start, end, now)
            elif kind == _DROP:
                self.video.drops[target] = None
            elif kind == _WINDOW:
                self._windows.add(target)
            else:
                self.done_pending = True

    def fill(self, parts: Parts, contents: list[Content], room: int) -> None:
        """Adds frames of at most ``room`` bytes to ``parts``, and what they carry to ``contents``."""
        room = self._add_control(parts, contents, room)
        room = self._add_stream(self.channels[0], parts, contents, room)
        room = self._add_video(parts, contents, room)
        for channel in self.channels[1:]:
            room = self._add_stream(channel, parts, contents, room)

    def _add_control(self, parts: Parts, contents: list[Content], room: int) -> int:
        """Everything but application data; the room that is left."""
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
