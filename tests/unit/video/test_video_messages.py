from __future__ import annotations

from functools import partial

import msgspec
import pytest

from ecco_emu.core.errors import ProtocolError
from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId
from ecco_emu.core.messages import Segment, decode_from_camera, encode
from ecco_emu.video.codec import EncodedSegment
from ecco_emu.video.decoder import decode
from ecco_emu.video.encoder import SegmentEncoder
from ecco_emu.video.messages import from_message, to_message
from tests.unit.video.video_pictures import moving, psnr_db

FRAMES = [
    Frame(CameraId("cam1"), index, index / 10, image)
    for index, image in zip((40, 42, 44), moving(160, 96, 3), strict=True)
]
CODED: EncodedSegment = SegmentEncoder(160, 96, 5).encode([frame.image for frame in FRAMES], 200_000)


def message() -> Segment:
    return to_message(CODED, FRAMES, sequence=7, frame_clock_fps=10)


def test_frames_come_back_with_their_numbers_and_times() -> None:
    received = decode_from_camera(encode(message()))
    assert isinstance(received, Segment)
    frames = from_message(received, decode)
    assert [frame.index for frame in frames] == [40, 42, 44]
    assert [frame.t for frame in frames] == pytest.approx([4.0, 4.2, 4.4])
    assert {frame.camera for frame in frames} == {"cam1"}
    assert psnr_db([frame.image for frame in FRAMES], [frame.image for frame in frames]) >= 32


def test_the_message_says_what_was_coded() -> None:
    sent = message()
    assert (sent.sequence, sent.fps, sent.width, sent.height, sent.t0) == (7, 5, 160, 96, 4.0)


def test_frames_that_were_not_coded_are_refused() -> None:
    with pytest.raises(ValueError, match="2 frames"):
        to_message(CODED, FRAMES[:2], sequence=0, frame_clock_fps=10)


@pytest.mark.parametrize("indices", [[40, 40, 44], [44, 42, 40], [-1, 2, 3], [40, 42], [40, 42, 44, 46]])
def test_indices_that_cannot_be_are_refused(indices: list[int]) -> None:
    with pytest.raises(ProtocolError):
        from_message(msgspec.structs.replace(message(), indices=indices), decode)


def test_too_large_pictures_are_refused() -> None:
    with pytest.raises(ProtocolError):
        from_message(msgspec.structs.replace(message(), width=8192, height=8192), decode)
    with pytest.raises(ProtocolError):
        from_message(message(), partial(decode, max_pixels=1000))
