"""Wire format: packed frames parse back; all other bytes raise ProtocolError."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.core.errors import ProtocolError
from ecco_emu.transport import wire

u8 = st.integers(0, 2**8 - 1)
u16 = st.integers(0, 2**16 - 1)
u32 = st.integers(0, 2**32 - 1)
data = st.binary(min_size=1, max_size=300)


@st.composite
def ack_ranges(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    """Half-open ranges, highest first, with gaps between them."""
    count = draw(st.integers(1, wire.MAX_ACK_RANGES))
    edges = sorted(draw(st.sets(u32, min_size=2 * count, max_size=2 * count)))
    return tuple(reversed([(edges[2 * i], edges[2 * i + 1]) for i in range(count)]))


@st.composite
def frames(draw: st.DrawFn) -> tuple[wire.WireFrame, bytes]:
    kinds = ("ping", "done", "ack", "stream", "video", "drop", "window", "share", "idle", "path", "close")
    kind = draw(st.sampled_from(kinds))
    if kind == "ping":
        return wire.Ping(), wire.PING_FRAME
    if kind == "done":
        return wire.HandshakeDone(), wire.DONE_FRAME
    if kind == "ack":
        ranges, delay = draw(ack_ranges()), draw(u32)
        return wire.Ack(delay, ranges), wire.encode_ack(ranges, delay)
    if kind == "stream":
        channel, offset, body = draw(u8), draw(st.integers(0, 2**62)), draw(data)
        packed = wire.stream_header(channel, offset, len(body)) + body
        return wire.Stream(channel, offset, memoryview(body)), packed
    if kind == "video":
        message, body = draw(u32), draw(data)
        total = draw(st.integers(len(body), 2**32 - 1))
        offset = draw(st.integers(0, total - len(body)))
        packed = wire.video_header(message, total, offset, len(body)) + body
        return wire.Video(message, total, offset, memoryview(body)), packed
    if kind == "drop":
        message = draw(u32)
        return wire.VideoDrop(message), wire.encode_video_drop(message)
    if kind == "window":
        channel, limit = draw(u8), draw(st.integers(0, 2**62))
        return wire.Window(channel, limit), wire.encode_window(channel, limit)
    if kind == "share":
        share = wire.ShareFrame(draw(u32), draw(u32), draw(st.integers(-(2**31), 2**31 - 1)))
        return share, wire.encode_share(share)
    if kind == "idle":
        total_ms = draw(u32)
        return wire.Idle(total_ms), wire.encode_idle(total_ms)
    if kind == "path":
        token = draw(st.integers(0, 2**64 - 1))
        if draw(st.booleans()):
            return wire.PathChallenge(token), wire.encode_path_challenge(token)
        return wire.PathResponse(token), wire.encode_path_response(token)
    code, reason = draw(u16), draw(st.text(max_size=40))
    return wire.Close(code, reason), wire.encode_close(code, reason)


@given(st.lists(frames(), min_size=1, max_size=6))
def test_frames_survive_the_round_trip(sequence: list[tuple[wire.WireFrame, bytes]]) -> None:
    packed = b"".join(body for _, body in sequence)
    assert wire.parse_frames(memoryview(packed)) == [frame for frame, _ in sequence]


@given(st.lists(frames(), min_size=1, max_size=3), st.data())
def test_a_truncated_packet_is_an_error_or_fewer_frames(
    sequence: list[tuple[wire.WireFrame, bytes]], draws: st.DataObject
) -> None:
    packed = b"".join(body for _, body in sequence)
    cut = draws.draw(st.integers(0, len(packed) - 1))
    try:
        parsed = wire.parse_frames(memoryview(packed[:cut]))
    except ProtocolError:
        return
    assert parsed == [frame for frame, _ in sequence[: len(parsed)]]
    assert len(parsed) < len(sequence)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_parse_or_are_a_protocol_error(payload: bytes) -> None:
    with suppress(ProtocolError):
        assert wire.parse_frames(memoryview(payload))
    with suppress(ProtocolError):
        wire.parse_header(payload)


@given(st.lists(frames(), min_size=1, max_size=3), st.data())
def test_flipped_bytes_parse_or_are_a_protocol_error(
    sequence: list[tuple[wire.WireFrame, bytes]], draws: st.DataObject
) -> None:
    packed = bytearray(b"".join(body for _, body in sequence))
    for position in draws.draw(st.lists(st.integers(0, len(packed) - 1), min_size=1, max_size=4)):
        packed[position] = draws.draw(u8)
    with suppress(ProtocolError):
        wire.parse_frames(memoryview(packed))


@given(u8, st.binary(min_size=8, max_size=8), u32, data)
def test_header_round_trip(kind: int, connection_id: bytes, number: int, body: bytes) -> None:
    datagram = wire.HEADER.pack(wire.VERSION, kind, connection_id, number) + body + bytes(wire.TAG_BYTES)
    if wire.HELLO <= kind <= wire.DATA:
        assert wire.parse_header(datagram) == (kind, connection_id, number)
    else:
        with pytest.raises(ProtocolError, match="unknown datagram type"):
            wire.parse_header(datagram)


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (b"", "without frames"),
        (b"\x00", "unknown frame type 0"),
        (wire.stream_header(0, 0, 0), "empty STREAM"),
        (wire.stream_header(0, 2**63, 1) + b"x", "beyond 2"),
        (wire.stream_header(0, 0, 2) + b"x", "past the end"),
        (wire.video_header(0, 5, 4, 2) + b"xx", "past its message"),
        (wire.encode_window(0, 2**63), "beyond 2"),
        (bytes([wire.F_ACK]) + bytes(4) + bytes(4) + b"\0\0\0\1" + b"\0", "below packet 0"),
        (bytes([wire.F_ACK]) + b"\0\0\0\x09" + bytes(8) + b"\x10", "17 ranges"),
        (bytes([wire.F_ACK]) + b"\0\0\0\x09" + bytes(8) + b"\x01" + bytes(8), "empty, overlaps"),
    ],
)
def test_what_makes_a_packet_malformed(packed: bytes, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        wire.parse_frames(memoryview(packed))
