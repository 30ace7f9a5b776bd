from __future__ import annotations

import statistics
from itertools import pairwise

import numpy as np
import pytest

from ecco_emu.video import annexb
from ecco_emu.video.decoder import decode
from ecco_emu.video.encoder import SegmentEncoder
from ecco_emu.video.rate_model import CRF_MAX, CRF_MIN
from tests.unit.video.video_pictures import moving, psnr_db

STAIRCASE_KBPS = (50, 50, 50, 100, 100, 400, 400, 2000, 2000, 800, 200, 200, 50, 50)


def segments_of(width: int, height: int, frames: int, count: int) -> list[list[np.ndarray]]:
    pictures = moving(width, height, frames * count)
    return [pictures[start : start + frames] for start in range(0, len(pictures), frames)]


@pytest.mark.parametrize(("width", "height", "frames"), [(320, 192, 5), (320, 192, 10), (640, 360, 4)])
def test_a_staircase_of_targets_is_tracked(width: int, height: int, frames: int) -> None:
    encoder = SegmentEncoder(width, height, frames)
    errors = []
    for images, kbps in zip(
        segments_of(width, height, frames, len(STAIRCASE_KBPS)), STAIRCASE_KBPS, strict=True
    ):
        coded = encoder.encode(images, kbps * 1000)
        assert coded.bits == len(coded.data) * 8
        if coded.crf > CRF_MIN:  # else: the finest quantiser does not fill the target
            errors.append(coded.bits / (kbps * 1000) - 1)
    assert len(errors) >= 10
    assert statistics.median(abs(error) for error in errors[3:]) <= 0.10
    assert not any(a > 0.15 and b > 0.15 for a, b in pairwise(errors))


@pytest.mark.parametrize("frames", [1, 2, 15])
@pytest.mark.parametrize("target_kbps", [60, 200])  # one frame has 250 kbit at most
def test_few_and_many_frames(frames: int, target_kbps: int) -> None:
    encoder = SegmentEncoder(320, 192, frames)
    sizes = [encoder.encode(images, target_kbps * 1000).bits for images in segments_of(320, 192, frames, 5)]
    late = [abs(size / (target_kbps * 1000) - 1) for size in sizes[3:]]
    assert statistics.mean(late) <= 0.12


def test_a_segment_stands_alone_and_has_no_identification() -> None:
    coded = SegmentEncoder(320, 192, 3).encode(moving(320, 192, 3), 80_000)
    units = annexb.split(coded.data, max_units=10)
    assert [annexb.unit_type(unit) for unit in units] == [annexb.SPS, annexb.PPS, annexb.IDR, 1, 1]
    assert coded.data.startswith(b"\x00\x00\x00\x01")
    assert b"x264" not in coded.data


def test_round_trip_keeps_the_picture() -> None:
    images = moving(320, 192, 5)
    coded = SegmentEncoder(320, 192, 5).encode(images, 2_000_000)
    assert psnr_db(images, decode(coded.data, 5, 320, 192)) >= 35


@pytest.mark.parametrize(
    "color", [(0, 0, 0), (255, 255, 255), (200, 60, 30), (20, 200, 40), (30, 40, 220), (128, 128, 128)]
)
def test_colors_survive(color: tuple[int, int, int]) -> None:
    image = np.full((192, 320, 3), color, np.uint8)
    coded = SegmentEncoder(320, 192, 1).encode([image], 500_000)
    back = decode(coded.data, 1, 320, 192)[0].astype(int)
    assert np.abs(back - image).max() <= 3


def test_pictures_are_resized_to_the_coded_size() -> None:
    images = moving(640, 384, 2)
    coded = SegmentEncoder(320, 192, 2).encode(images, 1_000_000)
    back = decode(coded.data, 2, 320, 192)
    assert back[0].shape == (192, 320, 3)
    halved = [image.reshape(192, 2, 320, 2, 3).mean(axis=(1, 3)).astype(np.uint8) for image in images]
    assert psnr_db(halved, back) >= 30


def test_an_impossible_target_gets_the_coarsest_coding() -> None:
    coded = SegmentEncoder(320, 192, 5).encode(moving(320, 192, 5), 500)
    assert coded.crf == CRF_MAX
    assert coded.bits > 500


def test_a_target_beyond_the_content_gets_the_finest_coding() -> None:
    coded = SegmentEncoder(320, 192, 1).encode(moving(320, 192, 1), 2_000_000)
    assert coded.crf == CRF_MIN
    assert coded.bits < 2_000_000


def test_the_model_moves_to_the_next_configuration() -> None:
    first = SegmentEncoder(640, 360, 4)
    for images in segments_of(640, 360, 4, 3):
        first.encode(images, 400_000)
    second = SegmentEncoder(320, 192, 5, model=first.model)
    assert second.encode(moving(640, 360, 5), 150_000).bits == pytest.approx(150_000, rel=0.15)


def test_pictures_that_are_views_are_taken() -> None:
    flipped = moving(320, 192, 1)[0][:, ::-1]
    coded = SegmentEncoder(320, 192, 1).encode([flipped], 400_000)
    assert psnr_db([flipped], decode(coded.data, 1, 320, 192)) >= 33


@pytest.mark.parametrize(
    ("width", "height", "fps"), [(8, 192, 5), (321, 192, 5), (320, 191, 5), (320, 192, 0)]
)
def test_impossible_configurations_are_refused(width: int, height: int, fps: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        SegmentEncoder(width, height, fps)


def test_wrong_pictures_and_targets_are_refused() -> None:
    encoder = SegmentEncoder(320, 192, 5)
    picture = moving(320, 192, 1)[0]
    with pytest.raises(ValueError, match="1 to 240 frames"):
        encoder.encode([], 1000)
    with pytest.raises(ValueError, match="positive"):
        encoder.encode([picture], 0)
    with pytest.raises(ValueError, match="uint8"):
        encoder.encode([picture[..., 0]], 1000)
    with pytest.raises(ValueError, match="uint8"):
        encoder.encode([picture.astype(np.float32)], 1000)
