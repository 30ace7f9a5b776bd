"""Reliable channels. Each is an ordered byte stream of messages, with the length before each message.

The sender keeps a reference to a message until all of it is acknowledged; it does not copy large messages.
The receiver appends in-order bytes directly to the message they belong to. Three limits bound the memory that
a peer can fill: the window, the largest message, and the messages that the application has not read.
"""

from __future__ import annotations

from bisect import bisect_right
from struct import Struct

from ecco_emu.core.errors import ProtocolError
from ecco_emu.transport.config import ITEM_BYTES, TransportConfig
from ecco_emu.transport.ranges import RangeSet

_LENGTH = Struct("!I")
_JOIN_BYTES = 4096
"""A message up to this size is copied behind its length, so that both leave in one piece. Larger ones are not
copied."""


class SendChannel:
    """The sending end of one channel."""

    __slots__ = ("_acked", "_limit", "_lost", "_next", "_parts", "_starts", "acked_to", "end", "number")

    def __init__(self, number: int, config: TransportConfig) -> None:
        self.number = number
        self._limit = config.channel_window_bytes
        self._starts: list[int] = []
        self._parts: list[memoryview] = []
        self._lost = RangeSet()
        self._acked = RangeSet()
        self._next = 0
        self.acked_to = 0
        """All bytes before this offset have arrived."""
        self.end = 0
        """Offset after the last queued byte."""

    @property
    def queued_bytes(self) -> int:
        """Bytes queued and not yet acknowledged in order."""
        return self.end - self.acked_to

    def queue(self, message: bytes) -> None:
        head = _LENGTH.pack(len(message))
        if len(message) <= _JOIN_BYTES:
            self._append(head + message)
        else:
            self._append(head)
            self._append(message)

    def has_data(self) -> bool:
        """Whether there are bytes to send that the peer's window allows. Lost bytes were inside it."""
        return (self._next < self.end and self._next < self._limit) or self._lost.total > 0

    def take(self, limit: int) -> tuple[int, bytes | memoryview, bool] | None:
        """Offset, at most ``limit`` bytes to send now, and whether they were sent before."""
        if self._lost.total:
            start, end = self._lost.pop_first(limit)
            return start, self._read(start, end), True
        start = self._next
        end = self.end if self.end < self._limit else self._limit
        if start >= end:
            return None
        if start + limit < end:
            end = start + limit
        self._next = end
        return start, self._read(start, end), False

    def on_window(self, limit: int) -> None:
        """The peer allows bytes up to this offset. A reordered WINDOW may be lower, and is ignored."""
        self._limit = max(self._limit, limit)

    def on_acked(self, start: int, end: int) -> None:
        if self._lost.total:
            self._lost.remove(start, end)
        # Out of order: only a range that reaches ``acked_to`` moves it.
        if start > self.acked_to:
            self._acked.add(start, end)
            return
        if end <= self.acked_to:
            return
        self.acked_to = end
        while self._acked.total and self._acked.first[0] <= self.acked_to:
            self.acked_to = max(self.acked_to, self._acked.forget_oldest())
        self._release()

    def on_lost(self, start: int, end: int) -> None:
        """Queues these bytes again, except those that arrived in another packet."""
        start = max(start, self.acked_to)
        self._lost.add(start, end)
        for held_start, held_end in self._acked:
            if held_start < end and held_end > start:
                self._lost.remove(held_start, held_end)

    def _append(self, part: bytes) -> None:
        if part:
            self._starts.append(self.end)
            self._parts.append(memoryview(part))
            self.end += len(part)

    def _read(self, start: int, end: int) -> bytes | memoryview:
        """The bytes of a range: a view where it lies inside one part, otherwise a copy."""
        index = bisect_right(self._starts, start) - 1
        first = self._starts[index]
        whole = self._parts[index]
        if end - first <= len(whole):
            return whole[start - first : end - first]
        part = whole[start - first :]
        pieces = [part]
        missing = end - start - len(part)
        while missing:
            index += 1
            part = self._parts[index][:missing]
            pieces.append(part)
            missing -= len(part)
        return b"".join(pieces)

    def _release(self) -> None:
        """Drops the references to parts that have arrived completely."""
        count = bisect_right(self._starts, self.acked_to) - 1
        # There is no next part whose start would show that the last one is complete.
        if self.acked_to == self.end:
            count = len(self._starts)
        if count > 0:
            del self._starts[:count], self._parts[:count]


class ReceiveChannel:
    """The receiving end of one channel."""

    __slots__ = (
        "_announced",
        "_head",
        "_max_message",
        "_message",
        "_next",
        "_stash",
        "_stash_bytes",
        "_unread_limit",
        "_wanted",
        "_window",
        "number",
        "unread_bytes",
    )

    def __init__(self, number: int, config: TransportConfig) -> None:
        self.number = number
        self._max_message = config.channel_message_bytes[number]
        self._window = config.channel_window_bytes
        self._unread_limit = config.channel_unread_bytes
        self._announced = self._window
        self._next = 0
        self._stash: dict[int, bytes] = {}
        self._stash_bytes = 0
        self._head = bytearray()
        self._message = bytearray()
        self._wanted: int | None = None
        self.unread_bytes = 0
        """Whole messages that the application has not taken, with ``ITEM_BYTES`` for each. The inbox
        subtracts a message when it is taken."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes that this channel holds in memory, unread messages included."""
        return self._stash_bytes + len(self._message) + len(self._head) + self.unread_bytes

    def receive(self, offset: int, data: memoryview) -> list[bytes]:
        """Takes a piece and returns the messages that it completes.

        Raises ``ProtocolError`` if the peer ignores a limit.
        """
        end = offset + len(data)
        if end > self._announced:
            raise ProtocolError(f"channel {self.number} ran past its window")
        if end <= self._next:
            return []  # a repeat
        if offset > self._next:
            self._keep(offset, data)
            return []
        messages: list[bytes] = []
        self._feed(data if offset == self._next else data[self._next - offset :], messages)
        self._next = end
        if self._stash:
            self._feed_stash(messages)
        return messages

    def window(self) -> int | None:
        """Returns a new limit to announce, or None. A quarter of the window is worth a frame: with less,
        WINDOW frames would accompany every few packets."""
        if self.unread_bytes > self._unread_limit:
            return None
        limit = self._next + self._window
        if limit - self._announced < self._window // 4:
            return None
        self._announced = limit
        return limit

    def abandon(self) -> None:
        """Frees incomplete messages; the connection is over."""
        self._stash.clear()
        self._stash_bytes = 0
        self._message, self._head = bytearray(), bytearray()

    def _keep(self, offset: int, data: memoryview) -> None:
        """Stores an out-of-order piece. Of two with the same offset, the longer one is kept."""
        held = self._stash.get(offset)
        if held is not None:
            if len(held) >= len(data):
                return
            self._stash_bytes -= len(held) + ITEM_BYTES
        self._stash[offset] = bytes(data)
        self._stash_bytes += len(data) + ITEM_BYTES
        # Pieces that overlap can hold more bytes than the window. Honest retransmissions overlap little.
        if self._stash_bytes > 2 * self._window:
            raise ProtocolError(f"channel {self.number} fills its window with overlapping pieces")

    def _feed_stash(self, messages: list[bytes]) -> None:
        """Adds the stored pieces that have become in-order. Most begin exactly where the last one ended."""
        while (data := self._stash.pop(self._next, None)) is not None:
            self._stash_bytes -= len(data) + ITEM_BYTES
            self._feed(memoryview(data), messages)
            self._next += len(data)
        if self._stash and min(self._stash) < self._next:
            self._feed_overlapping(messages)

    def _feed_overlapping(self, messages: list[bytes]) -> None:
        """Adds stored pieces that begin before the next missing byte and may reach beyond it. They exist
        because a retransmission can cut the stream at other offsets."""
        for offset in sorted(self._stash):
            if offset > self._next:
                break
            data = self._stash.pop(offset)
            self._stash_bytes -= len(data) + ITEM_BYTES
            if offset + len(data) > self._next:
                self._feed(memoryview(data)[self._next - offset :], messages)
                self._next = offset + len(data)

    def _feed(self, data: memoryview, messages: list[bytes]) -> None:
        """Adds in-order bytes to the message they belong to."""
        # By far the most common case: another piece of a long message.
        if self._wanted is not None and len(self._message) + len(data) < self._wanted:
            self._message += data
            return
        while True:
            if self._wanted is None:
                needed = _LENGTH.size - len(self._head)
                self._head += data[:needed]
                data = data[needed:]
                if len(self._head) < _LENGTH.size:
                    return
                (self._wanted,) = _LENGTH.unpack(self._head)
                # Checked before any byte of the message is stored.
                if self._wanted > self._max_message:
                    raise ProtocolError(f"a message of {self._wanted} bytes on channel {self.number}")
                self._head.clear()
            missing = self._wanted - len(self._message)
            self._message += data[:missing]
            data = data[missing:]
            if len(self._message) < self._wanted:
                return
            messages.append(bytes(self._message))
            self.unread_bytes += self._wanted + ITEM_BYTES
            self._message = bytearray()
            self._wanted = None
