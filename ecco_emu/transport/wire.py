"""The wire format: datagram headers and frames, packed and strictly parsed. docs/reference/transport.md
specifies it.

Whatever the bytes, parsing returns typed frames or raises ``ProtocolError``. The data in frames are views
into the datagram. Whether a frame is allowed in the present state is for the connection to decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from ecco_emu.core.errors import ProtocolError

VERSION: Final = 1
HELLO, CHALLENGE, RESPONSE, DATA = 1, 2, 3, 4
"""Datagram types."""

CONNECTION_ID_BYTES: Final = 8
TAG_BYTES: Final = 12
HEADER: Final = Struct("!BB8sI")
"""Version, datagram type, connection id, packet number."""
OVERHEAD_BYTES: Final = HEADER.size + TAG_BYTES
"""Bytes of a datagram that are not frames."""
MAX_PACKET_NUMBER: Final = 2**32 - 1
MAX_ACK_RANGES: Final = 16
MAX_REASON_BYTES: Final = 200
MAX_OFFSET: Final = 2**62
"""As in QUIC (RFC 9000 section 19.8)."""

F_PING, F_ACK, F_STREAM, F_VIDEO, F_VIDEO_DROP, F_WINDOW, F_DONE, F_CLOSE = range(1, 9)
F_SHARE, F_PATH_CHALLENGE, F_PATH_RESPONSE, F_IDLE = 9, 10, 11, 12

_ACK: Final = Struct("!BIIIB")
_ACK_RANGE: Final = Struct("!II")
_STREAM: Final = Struct("!BBQH")
_VIDEO: Final = Struct("!BIIIH")
_VIDEO_DROP: Final = Struct("!BI")
_WINDOW: Final = Struct("!BBQ")
_CLOSE: Final = Struct("!BHB")
_PATH: Final = Struct("!BQ")
_SHARE: Final = Struct("!BIIi")
_IDLE: Final = Struct("!BI")

STREAM_HEADER_BYTES: Final = _STREAM.size
VIDEO_HEADER_BYTES: Final = _VIDEO.size
PING_FRAME: Final = bytes([F_PING])
DONE_FRAME: Final = bytes([F_DONE])


class Header(NamedTuple):
    type: int
    connection_id: bytes
    packet_number: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for an acknowledgement."""


class Ack(NamedTuple):
    """Packets received: half-open ranges of packet numbers, highest first."""

    delay_us: int
    ranges: tuple[tuple[int, int], ...]


class Stream(NamedTuple):
    """A piece of a reliable channel's byte stream."""

    channel: int
    offset: int
    data: "memoryview"  # noqa: UP037 - mypyc cannot look the bare name up


class Video(NamedTuple):
    """A piece of deadline-bound message ``message``, which has ``total`` bytes."""

    message: int
    total: int
    offset: int
    data: "memoryview"  # noqa: UP037 - mypyc cannot look the bare name up


class VideoDrop(NamedTuple):
    """The sender has given this message up; the receiver may free it."""

    message: int


class Window(NamedTuple):
    """The peer may send bytes of this channel up to offset ``limit``."""

    channel: int
    limit: int


@dataclass(frozen=True, slots=True)
class HandshakeDone:
    """The server has made the connection."""


class Close(NamedTuple):
    """The sender has closed the connection. ``code``: 0 normal, 1 the peer broke a rule."""

    code: int
    reason: str


class ShareFrame(NamedTuple):
    """The server's share report: the rate that the client's weight entitles it to, its rate, and how far it
    is behind (``ShareReport``)."""

    entitled_bytes_per_s: int
    achieved_bytes_per_s: int
    behind_ms: int


class Idle(NamedTuple):
    """The client's answer to a SHARE: the total time since the connection began in which it had nothing to
    send."""

    total_ms: int


class PathChallenge(NamedTuple):
    """Asks for a PATH_RESPONSE with the same token, to test whether the peer is at the address it is sent to
    (RFC 9000 section 8.2)."""

    token: int


class PathResponse(NamedTuple):
    """The answer to a PATH_CHALLENGE, with its token."""

    token: int


WireFrame = (
    Ping
    | Ack
    | Stream
    | Video
    | VideoDrop
    | Window
    | HandshakeDone
    | Close
    | ShareFrame
    | Idle
    | PathChallenge
    | PathResponse
)


def parse_header(datagram: bytes) -> Header:
    """Parses the header of any datagram, before authentication. Raises ``ProtocolError``."""
    if len(datagram) < OVERHEAD_BYTES:
        raise ProtocolError(f"datagram of {len(datagram)} bytes is shorter than header and tag")
    version, kind, connection_id, number = HEADER.unpack_from(datagram)
    if version != VERSION:
        raise ProtocolError(f"version {version} is not {VERSION}")
    if not HELLO <= kind <= DATA:
        raise ProtocolError(f"unknown datagram type {kind}")
    return Header(kind, connection_id, number)


def data_packet_number(datagram: bytes, connection_id: bytes) -> int:
    """The packet number of a DATA datagram of this connection, before authentication; -1 for any other."""
    if len(datagram) < OVERHEAD_BYTES:
        return -1
    version, kind, its_id, number = HEADER.unpack_from(datagram)
    if version != VERSION or kind != DATA or its_id != connection_id:
        return -1
    return int(number)


def encode_ack(ranges: Sequence[tuple[int, int]], delay_us: int) -> bytes:
    """``ranges``: half-open, highest first, with a gap between any two; at most ``MAX_ACK_RANGES``.

    As in RFC 9000 section 19.3.1, ranges after the first are coded as a gap and a length, going down.
    """
    start, end = ranges[0]
    head = _ACK.pack(F_ACK, end - 1, min(delay_us, 0xFFFFFFFF), end - 1 - start, len(ranges) - 1)
    if len(ranges) == 1:
        return head
    parts = [head]
    for low, high in ranges[1:]:
        parts.append(_ACK_RANGE.pack(start - high, high - low))
        start = low
    return b"".join(parts)


def stream_header(channel: int, offset: int, length: int) -> bytes:
    return _STREAM.pack(F_STREAM, channel, offset, length)


def video_header(message: int, total: int, offset: int, length: int) -> bytes:
    return _VIDEO.pack(F_VIDEO, message, total, offset, length)


def encode_video_drop(message: int) -> bytes:
    return _VIDEO_DROP.pack(F_VIDEO_DROP, message)


def encode_window(channel: int, limit: int) -> bytes:
    return _WINDOW.pack(F_WINDOW, channel, limit)


def encode_close(code: int, reason: str) -> bytes:
    text = reason.encode()[:MAX_REASON_BYTES]
    return _CLOSE.pack(F_CLOSE, code, len(text)) + text


def encode_share(share: ShareFrame) -> bytes:
    """Values outside the range of a field are sent as the nearest value inside it."""
    entitled, achieved = [min(max(rate, 0), 2**32 - 1) for rate in share[:2]]
    return _SHARE.pack(F_SHARE, entitled, achieved, min(max(share.behind_ms, -(2**31)), 2**31 - 1))


def encode_idle(total_ms: int) -> bytes:
    """``total_ms`` is sent modulo 2**32, that is 49 days."""
    return _IDLE.pack(F_IDLE, total_ms & 0xFFFFFFFF)


def encode_path_challenge(token: int) -> bytes:
    return _PATH.pack(F_PATH_CHALLENGE, token)


def encode_path_response(token: int) -> bytes:
    return _PATH.pack(F_PATH_RESPONSE, token)


def parse_data(datagram: bytes) -> list[WireFrame]:
    """Returns all frames of a DATA datagram, which has at least a header and a tag. Raises ``ProtocolError``
    if any of them does not parse."""
    return _parse(memoryview(datagram), HEADER.size, len(datagram) - TAG_BYTES)


def parse_frames(payload: memoryview) -> list[WireFrame]:
    """Returns all frames of a packet. Raises ``ProtocolError`` if any of them does not parse."""
    return _parse(payload, 0, len(payload))


def _parse(payload: memoryview, position: int, end: int) -> list[WireFrame]:
    frames: list[WireFrame] = []
    if position == end:
        raise ProtocolError("a packet without frames")
    while position < end:
        parser = _PARSERS.get(payload[position])
        if parser is None:
            raise ProtocolError(f"unknown frame type {payload[position]}")
        frame, position = parser(payload, position, end)
        frames.append(frame)
    return frames


def _need(position: int, size: int, end: int) -> int:
    """Returns the position after ``size`` bytes, or raises ``ProtocolError`` if the packet has fewer."""
    after = position + size
    if after > end:
        raise ProtocolError("a frame runs past the end of its packet")
    return after


def _parse_ping(payload: memoryview, position: int, end: int) -> tuple[WireFrame, int]:
    return Ping(), position + 1


def _parse_done(payload: memoryview, position: int, end: int) -> tuple[WireFrame, int]:
    return HandshakeDone(), position + 1


def _parse_ack(payload: memoryview, position: int, end: int) -> tuple[WireFrame, int]:
    after = _need(position, _ACK.size, end)
    _, largest, delay_us, first, more = _ACK.unpack_from(payload, position)
    start = largest - first
    if start < 0:
        raise ProtocolError("an ACK range reaches below packet 0")
    if not more:
        return Ack(delay_us, ((start, largest + 1),)), after
    if more >= MAX_ACK_RANGES:
        raise ProtocolError(f"an ACK with {more + 1} ranges")
    ranges = [(start, largest + 1)]
    body_end = _need(after, more * _ACK_RANGE.size, end)
    for gap, length in _ACK_RANGE.iter_unpack(payload[after:body_end]):
        high = start - gap
        start = high - length
        # A gap of 0 would continue the range above it. One set of packets must have one encoding.
        if not gap or not length or start < 0:
            raise ProtocolError("an ACK range is empty, overlaps or reaches below packet 0")
        ranges.append((start, high))
    return Ack(delay_us, tuple(ranges)), body_end


def _parse_stream(payload: memoryview, position: int, end: int) -> tuple[WireFrame, int]:
    body = _need(position, _STREAM.size, end)
    _, channel, offset, length = _STREAM.unpack_from(payload, position)
    after = _need(body, length, end)
    if not length:
        raise ProtocolError("an empty STREAM frame")
    if offset > MAX_OFFSET:
        raise ProtocolError("a STREAM offset beyond 2^62")
    return Stream(channel, offset, payload[body:after]), after


def _parse_video(payload: memoryview, position: int, end: int) -> tuple[WireFrame, int]:
    body = _need(position, _VIDEO.size, end)
    _, message, total, offset, length = _VIDEO.unpack_from(payload, position)
    after = _need(body, length, end)
    if not length or offset + length > total:
        raise ProtocolError("a VIDEO frame is empty or reaches past its message")
    return Video(message, total, offset, payload[body:after]), after


def _parse_video_drop(payload: memoryview, position: int, end: int) -> tuple[WireFrame, int]:
    after = _need(position, _VIDEO_DROP.size, end)
    return VideoDrop(_VIDEO_DROP.unpack_from(payload, position)[1]), after


def _parse_window(payload: memoryview, position: int, end: int) -> tuple[WireFrame, int]:
    after = _need(position, _WINDOW.size, end)
    _, channel, limit = _WINDOW.unpack_from(payload, position)
    if limit > MAX_OFFSET:
        raise ProtocolError("a WINDOW beyond 2^62")
    return Window(channel, limit), after


def _parse_close(payload: memoryview, position: int, end: int) -> tuple[WireFrame, int]:
    body = _need(position, _CLOSE.size, end)
    _, code, length = _CLOSE.unpack_from(payload, position)
    after = _need(body, length, end)
    if length > MAX_REASON_BYTES:
        raise ProtocolError("a CLOSE reason that is too long")
    return Close(code, bytes(payload[body:after]).decode("utf-8", "replace")), after


def _parse_share(payload: memoryview, position: int, end: int) -> tuple[WireFrame, int]:
    after = _need(position, _SHARE.size, end)
    return ShareFrame(*_SHARE.unpack_from(payload, position)[1:]), after


def _parse_idle(payload: memoryview, position: int, end: int) -> tuple[WireFrame, int]:
    after = _need(position, _IDLE.size, end)
    return Idle(_IDLE.unpack_from(payload, position)[1]), after


def _parse_path_challenge(payload: memoryview, position: int, end: int) -> tuple[WireFrame, int]:
    after = _need(position, _PATH.size, end)
    return PathChallenge(_PATH.unpack_from(payload, position)[1]), after


def _parse_path_response(payload: memoryview, position: int, end: int) -> tuple[WireFrame, int]:
    after = _need(position, _PATH.size, end)
    return PathResponse(_PATH.unpack_from(payload, position)[1]), after


_PARSERS: Final = {
    F_PING: _parse_ping,
    F_ACK: _parse_ack,
    F_STREAM: _parse_stream,
    F_VIDEO: _parse_video,
    F_VIDEO_DROP: _parse_video_drop,
    F_WINDOW: _parse_window,
    F_DONE: _parse_done,
    F_CLOSE: _parse_close,
    F_SHARE: _parse_share,
    F_IDLE: _parse_idle,
    F_PATH_CHALLENGE: _parse_path_challenge,
    F_PATH_RESPONSE: _parse_path_response,
}
