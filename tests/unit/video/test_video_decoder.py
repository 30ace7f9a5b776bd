from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecco_emu.core.errors import ProtocolError
from ecco_emu.core.messages import MAX_SEGMENT_BYTES, MAX_SEGMENT_FRAMES
from ecco_emu.video import annexb
from ecco_emu.video.decoder import decode
from ecco_emu.video.encoder import SegmentEncoder
from tests.unit.video.video_pictures import moving

WIDTH, HEIGHT, FRAMES = 160, 96, 3
GOOD = SegmentEncoder(WIDTH, HEIGHT, FRAMES).encode(moving(WIDTH, HEIGHT, FRAMES), 60_000).data
UNITS = annexb.split(GOOD, max_units=10)

hostile = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def refused_or_whole(data: bytes) -> None:
    """Damage is refused, or (where it is still valid H.264) gives what was announced; nothing else."""
    try:
        images = decode(data, FRAMES, WIDTH, HEIGHT)
    except ProtocolError:
        return
    assert [image.shape for image in images] == [(HEIGHT, WIDTH, 3)] * FRAMES
    assert all(image.dtype == np.uint8 for image in images)


def test_a_good_segment_decodes() -> None:
    assert len(decode(GOOD, FRAMES, WIDTH, HEIGHT)) == FRAMES


@pytest.mark.parametrize("data", [b"", b"\x00\x00\x00\x01", b"nonsense", b"\x00\x00\x01\x65", b"\x00" * 100])
def test_what_is_no_stream_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data, FRAMES, WIDTH, HEIGHT)


@pytest.mark.parametrize("frames", [1, 2, 4, 0, -1, MAX_SEGMENT_FRAMES + 1])
def test_another_number_of_frames_than_announced_is_refused(frames: int) -> None:
    with pytest.raises(ProtocolError):
        decode(GOOD, frames, WIDTH, HEIGHT)


@pytest.mark.parametrize(("width", "height"), [(320, 192), (WIDTH - 2, HEIGHT), (WIDTH, HEIGHT + 2), (0, 0)])
def test_another_size_than_announced_is_refused(width: int, height: int) -> None:
    with pytest.raises(ProtocolError):
        decode(GOOD, FRAMES, width, height)


def test_pictures_over_the_limit_are_refused() -> None:
    with pytest.raises(ProtocolError, match="pixels allowed"):
        decode(GOOD, FRAMES, WIDTH, HEIGHT, max_pixels=WIDTH * HEIGHT - 1)


def test_a_large_stream_announced_as_small_is_refused_before_it_is_decoded() -> None:
    large = SegmentEncoder(1280, 720, 1).encode([np.zeros((720, 1280, 3), np.uint8)], 100_000).data
    with pytest.raises(ProtocolError):
        decode(large, 1, WIDTH, HEIGHT)


def test_too_long_a_segment_is_refused() -> None:
    with pytest.raises(ProtocolError, match="bytes"):
        decode(GOOD + b"\x00" * MAX_SEGMENT_BYTES, FRAMES, WIDTH, HEIGHT)


def test_a_stream_of_start_codes_is_refused() -> None:
    with pytest.raises(ProtocolError, match="NAL units"):
        decode(b"\x00\x00\x01" * (MAX_SEGMENT_BYTES // 3), FRAMES, WIDTH, HEIGHT)


@pytest.mark.parametrize(
    "units",
    [
        UNITS[1:],
        UNITS[:1] + UNITS[2:],
        UNITS[:2] + UNITS[3:],
        UNITS[:-1],
        [*UNITS, UNITS[-1]],
        [UNITS[2], UNITS[0], UNITS[1], *UNITS[3:]],
        [*UNITS[:3], UNITS[0], *UNITS[4:]],
    ],
    ids=["no SPS", "no PPS", "no IDR", "a frame short", "a frame more", "IDR first", "SPS for a frame"],
)
def test_streams_of_another_form_are_refused(units: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        decode(annexb.join(units), FRAMES, WIDTH, HEIGHT)


def test_frames_without_content_are_refused() -> None:
    with pytest.raises(ProtocolError):
        decode(annexb.join([*UNITS[:3], b"\x41", b"\x41"]), FRAMES, WIDTH, HEIGHT)


@hostile
@given(st.integers(0, len(GOOD) - 1))
def test_truncation(length: int) -> None:
    refused_or_whole(GOOD[:length])


@pytest.mark.parametrize("part", [0.25, 0.5, 0.75])
def test_a_frame_cut_short_is_refused(part: float) -> None:
    for index in range(2, len(UNITS)):
        short = [*UNITS]
        short[index] = short[index][: int(len(short[index]) * part)]
        with pytest.raises(ProtocolError):
            decode(annexb.join(short), FRAMES, WIDTH, HEIGHT)


@hostile
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=20))
def test_changed_bytes(changes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for position, value in changes:
        data[position] = value
    refused_or_whole(bytes(data))


@hostile
@given(
    st.lists(
        st.tuples(st.integers(0, len(UNITS[0] + UNITS[1]) + 8), st.integers(0, 7)), min_size=1, max_size=4
    )
)
def test_flipped_bits_in_the_parameter_sets(flips: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for position, bit in flips:
        data[position] ^= 1 << bit
    refused_or_whole(bytes(data))


@hostile
@given(st.binary(max_size=400))
def test_any_bytes_as_a_segment(data: bytes) -> None:
    refused_or_whole(data)


@hostile
@given(st.lists(st.binary(min_size=1, max_size=80), min_size=FRAMES, max_size=FRAMES))
def test_any_bytes_as_frames(payloads: list[bytes]) -> None:
    headers = (annexb.IDR, annexb.NON_IDR, annexb.NON_IDR)
    frames = [bytes([0x60 | kind]) + payload for kind, payload in zip(headers, payloads, strict=True)]
    refused_or_whole(annexb.join([*UNITS[:2], *frames]))
