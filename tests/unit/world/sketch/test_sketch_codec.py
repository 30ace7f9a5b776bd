"""Segments of sketches: sizes as the real encoder's, and nothing from outside is trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecco_emu.core.errors import ProtocolError
from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId
from ecco_emu.core.messages import Segment, decode_from_camera, encode
from ecco_emu.video.messages import to_message
from ecco_emu.world.sketch.codec import MOST_BITS_PER_PX, SIZE_RATIOS, SketchCodec
from ecco_emu.world.sketch.picture import Stamp, sketch, stamp_of

CAM1, CAM2 = CameraId("cam1"), CameraId("cam2")
CODEC = SketchCodec([CAM1, CAM2], seed=7)


def frames(indices: Sequence[int], camera: int = 1) -> list[Frame]:
    return [
        Frame((CAM1, CAM2)[camera], index, index / 10, sketch((320, 192), Stamp(camera, index)))
        for index in indices
    ]


def message(
    indices: Sequence[int] = (40, 42, 44), bits: int = 100_000, codec: SketchCodec = CODEC
) -> Segment:
    taken = frames(indices)
    images = [frame.image for frame in taken]
    coded = asyncio.run(codec.stream().encode(images, bits, width=160, height=96, fps=5.0))
    assert (coded.width, coded.height, coded.frames, coded.fps) == (160, 96, len(indices), 5.0)
    return to_message(coded, taken, sequence=3, frame_clock_fps=10)


def decoded(segment: Segment) -> list[Frame]:
    return asyncio.run(CODEC.frames(segment))


def test_sketches_come_back_in_the_coded_size() -> None:
    received = decode_from_camera(encode(message()))
    assert isinstance(received, Segment)
    came = decoded(received)
    assert [(frame.camera, frame.index, frame.t) for frame in came] == [
        (CAM2, 40, 4.0),
        (CAM2, 42, 4.2),
        (CAM2, 44, 4.4),
    ]
    assert {frame.image.shape for frame in came} == {(96, 160, 3)}
    assert [stamp_of(frame.image) for frame in came] == [Stamp(1, index) for index in (40, 42, 44)]


def test_sizes_miss_their_targets_as_the_real_encoders_do() -> None:
    ratios = [
        len(message(range(first, first + 5), bits=80_000).data) * 8 / 80_000 for first in range(0, 4000, 10)
    ]
    assert min(ratios) >= SIZE_RATIOS[0] - 0.001
    assert max(ratios) <= SIZE_RATIOS[-1] + 0.001
    assert np.median(ratios) == pytest.approx(0.970, abs=0.01)
    assert np.std(ratios) == pytest.approx(0.034, abs=0.006)
    # a segment's miss says nothing of the next one's
    assert abs(np.corrcoef(ratios[:-1], ratios[1:])[0, 1]) < 0.15


def test_a_size_is_a_function_of_frames_and_seed() -> None:
    assert message() == message()
    others = [message(codec=SketchCodec([CAM1, CAM2], seed)).data for seed in range(8)]
    assert len({len(data) for data in others}) > 4


@pytest.mark.parametrize("frame_count", [1, 5])
def test_no_quantiser_reaches_every_size(frame_count: int) -> None:
    pixels = 160 * 96
    least = len(message(range(frame_count), bits=1).data) * 8
    most = len(message(range(frame_count), bits=10**9).data) * 8
    assert 0.05 * pixels < least < 0.1 * pixels
    assert MOST_BITS_PER_PX * pixels * 0.99 <= most < 30 * pixels


def test_what_cannot_be_coded_is_the_callers_mistake() -> None:
    images = [frame.image for frame in frames([1, 2])]
    stream = CODEC.stream()
    for size in ((161, 96), (8, 96)):
        with pytest.raises(ValueError, match="coded size"):
            asyncio.run(stream.encode(images, 1000, width=size[0], height=size[1], fps=5.0))
    mixed = [images[0], frames([2], camera=0)[0].image]
    with pytest.raises(ValueError, match="several cameras"):
        asyncio.run(stream.encode(mixed, 1000, width=160, height=96, fps=5.0))
    with pytest.raises(ValueError, match="no sketch"):
        asyncio.run(stream.encode([np.zeros((96, 160, 3), np.uint8)], 1000, width=160, height=96, fps=5.0))


def data(change: Callable[[bytearray], object]) -> Segment:
    """The message with other data."""
    changed = bytearray(message().data)
    change(changed)
    return msgspec.structs.replace(message(), data=bytes(changed))


@pytest.mark.parametrize(
    "segment",
    [
        data(lambda raw: raw.clear()),
        data(lambda raw: raw.__delitem__(slice(19, None))),  # the last number is cut
        data(lambda raw: raw.__setitem__(0, 0)),
        data(lambda raw: raw.__setitem__(4, 0)),  # another camera's
        data(lambda raw: raw.__setitem__(6, 2)),  # another number of frames
        data(lambda raw: raw.__setitem__(8, 41)),  # another frame
        data(lambda raw: raw.__setitem__(-1, 1)),  # not only zeros behind
        msgspec.structs.replace(message(), camera="cam1"),
        msgspec.structs.replace(message(), camera="nobody"),
        msgspec.structs.replace(message(), indices=[40, 42]),
        msgspec.structs.replace(message(), indices=[40, 42, 2**40]),
        msgspec.structs.replace(message(), indices=[44, 42, 40]),
        msgspec.structs.replace(message(), indices=[-1, 42, 44]),
        msgspec.structs.replace(message(), width=8192, height=8192),
        msgspec.structs.replace(message(), width=2),
        msgspec.structs.replace(message(), data=bytes(9 * 1024 * 1024)),
        msgspec.structs.replace(message(), data=b"\x00\x00\x00\x01" * 100),
    ],
)
def test_nonsense_from_outside_is_refused(segment: Segment) -> None:
    with pytest.raises(ProtocolError):
        decoded(segment)


@given(
    raw=st.binary(max_size=64),
    at=st.integers(0, 40),
    indices=st.lists(st.integers(-1, 2**53), min_size=1, max_size=5),
    size=st.tuples(st.integers(0, 8192), st.integers(0, 8192)),
)
@settings(deadline=None, max_examples=40)
def test_whatever_comes_is_decoded_or_refused(
    raw: bytes, at: int, indices: list[int], size: tuple[int, int]
) -> None:
    whole = message()
    written = whole.data[:at] + raw + whole.data[at + len(raw) :]
    for change in (
        {"data": written},
        {"data": raw},
        {"indices": indices},
        dict(zip(("width", "height"), size, strict=True)),
    ):
        segment = msgspec.structs.replace(whole, **change)
        with suppress(ProtocolError):
            came = decoded(segment)
            assert [frame.index for frame in came] == segment.indices
            assert {frame.image.shape for frame in came} == {(segment.height, segment.width, 3)}
