"""The encoder's benchmark, briefly: that it measures, not what it measures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecco_emu.bench.video.command import VideoReport
from ecco_emu.bench.video.encoder import measure, psnr_db
from ecco_emu.bench.video.street import street

SIZE = (64, 48)
FPS = 2


def test_a_street_is_the_same_for_the_same_seed_and_moves() -> None:
    pictures = street(*SIZE, FPS, 2, seed=1)
    assert [picture.shape for picture in pictures] == [(48, 64, 3)] * 2
    assert np.array_equal(pictures, street(*SIZE, FPS, 2, seed=1))
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures, street(*SIZE, FPS, 2, seed=2))


def test_psnr_of_one_level_everywhere() -> None:
    black = [np.zeros((4, 4, 3), np.uint8)]
    assert psnr_db(black, [np.ones((4, 4, 3), np.uint8)]) == pytest.approx(48.13, abs=0.01)


def test_targets_out_of_the_quantisers_range_are_counted_and_have_no_errors() -> None:
    pictures = street(320, 192, FPS, 4 * FPS, seed=1)
    large = measure(pictures, FPS, [5000] * 4)
    assert (large.at_ceiling, large.at_floor, large.median_error) == (4, 0, None)
    small = measure(pictures, FPS, [1] * 4)
    assert (small.at_ceiling, small.at_floor, small.worst_error) == (0, 4, None)
    assert large.psnr_db > small.psnr_db
    assert large.got_kbps > small.got_kbps


def test_only_segments_after_the_warm_up_have_errors() -> None:
    pictures = street(*SIZE, FPS, 4 * FPS, seed=1)
    one = measure(pictures, FPS, [20, 30, 20, 30])
    assert one.target_kbps is None
    assert one.median_error == one.worst_error is not None  # of the fourth segment alone
    assert one.attempts >= 1
    assert one.ms_per_frame > 0


def test_a_report_is_a_row_for_each_stream() -> None:
    one = measure(street(*SIZE, FPS, 4 * FPS, seed=1), FPS, [5000] * 4)
    report = VideoReport("2 CPUs", (one, replace(one, target_kbps=None, median_error=0.041)))
    fixed, jumping = report.table().rows
    assert fixed[:3] == ("64×48", "2", "5000")
    assert fixed[4] == "–"
    assert jumping[2:5] == ("50–2000, jumping", fixed[3], "4.1%")
    assert [row["width"] for row in report.as_data()["streams"]] == [64, 64]
