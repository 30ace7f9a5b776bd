"""Puts arriving pieces together to whole messages and videos, within the memory limits of the
configuration."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ecco_emu.core.errors import ProtocolError
from ecco_emu.transport import wire
from ecco_emu.transport.channels import ReceiveChannel
from ecco_emu.transport.config import ITEM_BYTES, TransportConfig
from ecco_emu.transport.deadline import VideoReceiver
from ecco_emu.transport.events import Delivery, MessageReceived, VideoReceived
from ecco_emu.transport.stats import ConnectionStats


class Inbox:
    """The receiving halves of all channels and of video.

    ``announce(channel, limit)`` is called when a WINDOW frame must tell the peer that it may send further.
    """

    __slots__ = ("_announce", "_channels", "_config", "_deliveries", "_stats", "_unread_bytes", "_video")

    def __init__(
        self, config: TransportConfig, stats: ConnectionStats, announce: Callable[[int, int], None]
    ) -> None:
        self._config = config
        self._stats = stats
        self._announce = announce
        self._channels = [ReceiveChannel(n, config) for n in range(len(config.channel_message_bytes))]
        self._video = VideoReceiver(config, stats)
        self._deliveries: deque[Delivery] = deque()
        self._unread_bytes = 0
        """Of whole videos; each channel counts its own messages."""

    @property
    def has_delivery(self) -> bool:
        return bool(self._deliveries)

    @property
    def buffered_bytes(self) -> int:
        """Bytes in memory: incomplete messages, and those the application has not taken."""
        channels = sum(channel.buffered_bytes for channel in self._channels)
        return channels + self._video.partial_bytes + self._unread_bytes

    def next_delivery(self) -> Delivery | None:
        """The next whole message or video, or None. Taking one makes room for more to be received."""
        if not self._deliveries:
            return None
        delivery = self._deliveries.popleft()
        if isinstance(delivery, MessageReceived):
            channel = self._channels[delivery.channel]
            channel.unread_bytes -= len(delivery.data) + ITEM_BYTES
            self._open_window(channel)
        else:
            self._unread_bytes -= len(delivery.data) + ITEM_BYTES
        return delivery

    def on_stream(self, frame: wire.Stream) -> None:
        """Takes a frame. Raises ``ProtocolError`` if it breaks a rule that every honest peer keeps."""
        number, offset, data = frame
        if number >= len(self._channels):
            raise ProtocolError(f"no channel {number}")
        channel = self._channels[number]
        for message in channel.receive(offset, data):
            self._deliveries.append(MessageReceived(number, message))
        self._open_window(channel)

    def on_video(self, frame: wire.Video) -> None:
        """Takes a frame. Raises ``ProtocolError`` if it breaks a rule that every honest peer keeps."""
        data = self._video.receive(frame.message, frame.total, frame.offset, frame.data)
        if data is not None:
            self._deliver_video(VideoReceived(frame.message, data))

    def on_video_drop(self, frame: wire.VideoDrop) -> None:
        self._video.finish(frame.message)

    def abandon(self) -> None:
        """The connection is over: what is not whole never will be. Whole messages may still be taken."""
        self._video = VideoReceiver(self._config, self._stats)
        for channel in self._channels:
            channel.abandon()

    def _open_window(self, channel: ReceiveChannel) -> None:
        limit = channel.window()
        if limit is not None:
            self._announce(channel.number, limit)

    def _deliver_video(self, video: VideoReceived) -> None:
        self._deliveries.append(video)
        self._unread_bytes += len(video.data) + ITEM_BYTES
        # Reliable messages are spared: their channel's window bounds them. Of videos, the newest is the most
        # useful.
        while self._unread_bytes > self._config.video_unread_bytes:
            oldest = next(item for item in self._deliveries if isinstance(item, VideoReceived))
            self._deliveries.remove(oldest)
            self._unread_bytes -= len(oldest.data) + ITEM_BYTES
            self._stats.video_unread_dropped += 1
