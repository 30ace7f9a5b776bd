"""Deadline-bound delivery of video messages, which are retransmitted until their deadline and not beyond.

At its deadline, a message with bytes left to send is given up. The sender announces that with VIDEO_DROP, so
that the receiver frees the incomplete message. A message whose bytes are all in flight gets one more probe
timeout for its acknowledgements. It then counts as delivered or late by the estimated arrival of its last
byte: half a round trip before the acknowledgement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ecco_emu.core.errors import ProtocolError
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.events import Outcome, VideoOutcome
from ecco_emu.transport.ranges import RangeSet
from ecco_emu.transport.stats import ConnectionStats


class OutgoingVideo:
    """One message at the sender."""

    __slots__ = ("_acked", "_lost", "_next", "acked_bytes", "data", "deadline_s", "expires_s", "id", "size")

    def __init__(self, number: int, message: bytes, deadline_s: float) -> None:
        self.id = number
        self.data = memoryview(message)
        self.size = len(message)
        self.deadline_s = deadline_s
        self.expires_s = deadline_s
        """When ``expire`` must look at it: the deadline, later the end of the wait for acknowledgements."""
        self._next = 0
        self._lost = RangeSet()
        self._acked = RangeSet()
        self.acked_bytes = 0

    @property
    def pending_bytes(self) -> int:
        """Bytes to send, or to send again."""
        return self.size - self._next + self._lost.total

    @property
    def started(self) -> bool:
        return self._next > 0

    def take(self, limit: int) -> tuple[int, memoryview, bool] | None:
        """Offset, at most ``limit`` bytes, and whether they were sent before. Lost bytes go first: they hold
        up the message's completion."""
        if self._lost.total:
            start, end = self._lost.pop_first(limit)
            return start, self.data[start:end], True
        start = self._next
        if start >= self.size:
            return None
        self._next = end = min(start + limit, self.size)
        return start, self.data[start:end], False

    def on_acked(self, start: int, end: int) -> None:
        if self._lost.total:
            self._lost.remove(start, end)
        self._acked.add(start, end)
        self.acked_bytes = self._acked.total

    def on_lost(self, start: int, end: int) -> None:
        self._lost.add(start, end)
        # A probe may have sent these bytes in a second packet, which was acknowledged.
        for held_start, held_end in self._acked:
            if held_start < end and held_end > start:
                self._lost.remove(held_start, held_end)


class VideoOutbox:
    """The sender's video messages whose outcome is open, oldest first."""

    __slots__ = ("_config", "_live", "_next_id", "_stats", "drops", "outcomes")

    def __init__(self, config: TransportConfig, stats: ConnectionStats) -> None:
        self._config = config
        self._stats = stats
        self._live: dict[int, OutgoingVideo] = {}
        self._next_id = 0
        self.outcomes: list[VideoOutcome] = []
        """Outcomes that the connection has not collected yet."""
        self.drops: dict[int, None] = {}
        """Ids of messages given up, for which a VIDEO_DROP waits to be sent, in order."""

    @property
    def backlog_bytes(self) -> int:
        """Bytes waiting to be sent, or sent again."""
        return sum(video.pending_bytes for video in self._live.values())

    @property
    def next_expiry_s(self) -> float | None:
        """When ``expire`` is next due; None without open messages."""
        soonest: float | None = None
        for video in self._live.values():
            if soonest is None or video.expires_s < soonest:
                soonest = video.expires_s
        return soonest

    def queue(self, message: bytes, deadline_s: float) -> int:
        """Queues a message and returns its id. Raises ``ValueError`` for an empty or too large one."""
        if not 0 < len(message) <= self._config.video_message_bytes:
            raise ValueError(
                f"a video message has 1 to {self._config.video_message_bytes} bytes, got {len(message)}"
            )
        number = self._next_id
        self._next_id += 1
        self._make_room(len(message), number)
        self._live[number] = OutgoingVideo(number, message, deadline_s)
        self._stats.video_sent += 1
        return number

    def has_data(self) -> bool:
        for video in self._live.values():  # noqa: SIM110 - called for every packet; a generator is slower
            if video.pending_bytes:
                return True
        return False

    def take(self, limit: int) -> tuple[OutgoingVideo, int, memoryview, bool] | None:
        """The next piece: message, offset, at most ``limit`` bytes, and whether they were sent before."""
        for video in self._live.values():
            piece = video.take(limit)
            if piece is not None:
                return video, *piece
        return None

    def on_acked(self, video: OutgoingVideo, start: int, end: int, now: float, one_way_s: float) -> None:
        """Bytes of a message were acknowledged; ``one_way_s`` ago they arrived, by estimate."""
        video.on_acked(start, end)
        # A message that was given up is no longer open, and its outcome stands.
        if video.acked_bytes == video.size and video.id in self._live:
            self._decide(video, "delivered" if now - one_way_s <= video.deadline_s else "late")

    def on_lost(self, video: OutgoingVideo, start: int, end: int, now: float) -> None:
        """Bytes of a message were lost. They are sent again unless its deadline has passed."""
        if video.id in self._live:
            video.on_lost(start, end)
            if now >= video.deadline_s and video.pending_bytes:
                self._give_up(video)

    def expire(self, now: float, timeout_s: float) -> None:
        """Gives up messages past their deadline. If all bytes of a message are in flight, it first gets
        another ``timeout_s`` seconds for their acknowledgements."""
        stale = [video for video in self._live.values() if video.expires_s <= now]
        for video in stale:
            if video.pending_bytes or video.expires_s > video.deadline_s:
                self._give_up(video)
            else:
                # After both the deadline and ``now``, even where the deadline is so far back (minus infinity)
                # that adding the timeout changes nothing. Otherwise the timer would fire for ever.
                video.expires_s = max(video.deadline_s + timeout_s, math.nextafter(now, math.inf))

    def shed(self, now: float, rate_bytes_per_s: float) -> None:
        """Gives up messages, oldest first, that cannot be sent by their deadline at this rate.

        Otherwise a sender that is offered more video than fits would spend all of the rate on messages that
        become stale half sent. A message that has begun is kept as long as twice the rate would finish it in
        time: the rate may rise, and the bytes already sent would be wasted.
        """
        for video in list(self._live.values()):
            pending = video.pending_bytes
            if not pending:
                continue
            left_s = video.deadline_s - now
            if pending <= left_s * rate_bytes_per_s * (2.0 if video.started else 1.0):
                # Later messages are judged once this one is sent.
                return
            self._give_up(video)

    def abandon(self) -> None:
        """The connection is over: every open message counts as lost."""
        for video in list(self._live.values()):
            self._decide(video, "lost")
        self.drops.clear()

    def _make_room(self, size: int, number: int) -> None:
        """Gives up the oldest messages until a new one of ``size`` bytes fits the limits."""
        held = sum(video.size for video in self._live.values())
        for video in list(self._live.values()):
            too_old = number - video.id >= self._config.video_messages
            if not too_old and held + size <= self._config.video_backlog_bytes:
                return
            held -= video.size
            self._give_up(video)

    def _give_up(self, video: OutgoingVideo) -> None:
        # The receiver knows nothing of a message that has not begun.
        if video.started:
            self.drops[video.id] = None
            while len(self.drops) > self._config.video_messages:
                del self.drops[next(iter(self.drops))]
        self._decide(video, "lost")

    def _decide(self, video: OutgoingVideo, outcome: Outcome) -> None:
        del self._live[video.id]
        self.outcomes.append(VideoOutcome(video.id, outcome))
        if outcome == "delivered":
            self._stats.video_delivered += 1
        elif outcome == "late":
            self._stats.video_late += 1
        else:
            self._stats.video_lost += 1


MAX_PIECES = 32_768
"""Limit of the separate pieces of all partial messages together. 32 MiB of which every second packet was lost
have 14 000 pieces. A peer that sends single bytes could make millions, each with its own cost in memory."""


class _Partial:
    __slots__ = ("buffer", "ranges")

    def __init__(self, total: int) -> None:
        self.buffer = bytearray(total)
        self.ranges = RangeSet()


class VideoReceiver:
    """Incomplete video messages at the receiver. Ids far below the newest count as finished."""

    __slots__ = ("_base", "_config", "_finished", "_partial", "_pieces", "_stats", "partial_bytes")

    def __init__(self, config: TransportConfig, stats: ConnectionStats) -> None:
        self._config = config
        self._stats = stats
        self._partial: dict[int, _Partial] = {}
        self._finished: set[int] = set()
        self._base = 0
        self._pieces = 0
        self.partial_bytes = 0

    def receive(self, number: int, total: int, offset: int, data: memoryview) -> bytes | None:
        """Takes a piece, and returns the message if that completes it.

        Raises ``ProtocolError`` for a message over the limit, one whose size changes, or too many pieces.
        """
        if total > self._config.video_message_bytes:
            raise ProtocolError(f"a video message of {total} bytes")
        if number < self._base or number in self._finished:
            return None
        partial = self._partial.get(number)
        if partial is None:
            partial = self._start(number, total)
        elif len(partial.buffer) != total:
            raise ProtocolError("a video message that changes its size")
        ranges = partial.ranges
        before, pieces = ranges.total, len(ranges)
        ranges.add(offset, offset + len(data))
        after = ranges.total
        self._pieces += len(ranges) - pieces
        if self._pieces > MAX_PIECES:
            raise ProtocolError(f"partial video in {self._pieces} pieces")
        # A repeat, whose bytes must not be counted or copied again.
        if after == before:
            return None
        self._stats.video_bytes_received += after - before
        partial.buffer[offset : offset + len(data)] = data
        if after < total:
            return None
        self.finish(number)
        self._stats.video_received += 1
        return bytes(partial.buffer)

    def finish(self, number: int) -> None:
        """Frees a message that is complete or given up by its sender. Later pieces of it are ignored."""
        if number < self._base:
            return
        if number in self._partial:
            self._free(number)
        self._finished.add(number)
        self._advance(number)

    def _start(self, number: int, total: int) -> _Partial:
        """Makes room for a new message. The oldest ones are freed first: their deadlines are nearest."""
        self._advance(number)
        while self._partial and self.partial_bytes + total > self._config.video_receive_bytes:
            self._free(min(self._partial))
        partial = self._partial[number] = _Partial(total)
        self.partial_bytes += total
        return partial

    def _free(self, number: int) -> None:
        partial = self._partial.pop(number)
        self.partial_bytes -= len(partial.buffer)
        self._pieces -= len(partial.ranges)
        self._finished.add(number)

    def _advance(self, newest: int) -> None:
        """Takes all ids below a base as finished, so that the set of finished ids stays small. Open messages
        span at most ``video_messages`` ids at the sender; twice that allows for reordered packets."""
        base = newest + 1 - 2 * self._config.video_messages
        if base <= self._base:
            return
        self._base = base
        self._discard([number for number in self._partial if number < base])
        self._finished = {number for number in self._finished if number >= base}

    def _discard(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._free(number)
