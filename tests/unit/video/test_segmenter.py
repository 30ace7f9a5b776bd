from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId
from ecco_emu.video.segmenter import Segmenter


def frame(t: float, *, width: int = 32) -> Frame:
    return Frame(CameraId("cam1"), round(t * 10), t, np.zeros((16, width, 3), np.uint8))


def fed(segmenter: Segmenter, times: list[float]) -> list[list[float]]:
    finished = (segmenter.add(frame(t)) for t in times)
    return [[f.t for f in group] for group in finished if group]


def test_a_segment_is_finished_by_its_last_frame() -> None:
    segmenter = Segmenter(fps=2)
    assert segmenter.add(frame(0.0)) is None
    finished = segmenter.add(frame(0.5))
    assert finished is not None
    assert [f.t for f in finished] == [0.0, 0.5]
    assert segmenter.flush() is None


def test_five_a_second() -> None:
    times = [round(i * 0.2, 1) for i in range(12)]
    segmenter = Segmenter(fps=5)
    assert fed(segmenter, times) == [times[:5], times[5:10]]
    rest = segmenter.flush()
    assert rest is not None
    assert [f.t for f in rest] == times[10:]


def test_slow_sampling_makes_segments_of_one_frame() -> None:
    assert fed(Segmenter(fps=0.5), [0.0, 2.0, 4.0]) == [[0.0], [2.0], [4.0]]


def test_uneven_sampling_of_the_frame_clock() -> None:
    assert fed(Segmenter(fps=3), [0.0, 0.3, 0.7, 1.0, 1.3, 1.7]) == [[0.0, 0.3, 0.7], [1.0, 1.3, 1.7]]


def test_a_gap_ends_the_segment_before_it() -> None:
    assert fed(Segmenter(fps=5), [0.0, 0.2, 5.0, 5.2, 5.4, 5.6, 5.8]) == [
        [0.0, 0.2],
        [5.0, 5.2, 5.4, 5.6, 5.8],
    ]


def test_a_change_of_configuration_starts_a_new_segment() -> None:
    segmenter = Segmenter(fps=5)
    fed(segmenter, [0.0, 0.2])
    assert segmenter.reconfigure(5) is None
    cut = segmenter.reconfigure(2)
    assert cut is not None
    assert [f.t for f in cut] == [0.0, 0.2]
    assert segmenter.fps == 2
    assert fed(segmenter, [0.5, 1.0]) == [[0.5, 1.0]]


def test_another_picture_size_starts_a_new_segment() -> None:
    segmenter = Segmenter(fps=5)
    fed(segmenter, [0.0, 0.2])
    cut = segmenter.add(frame(0.4, width=64))
    assert cut is not None
    assert [f.t for f in cut] == [0.0, 0.2]


def test_time_only_moves_forward() -> None:
    segmenter = Segmenter(fps=5)
    segmenter.add(frame(1.0))
    with pytest.raises(ValueError, match="after one"):
        segmenter.add(frame(1.0))


def test_a_rate_that_is_no_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        Segmenter(fps=0)


@given(
    fps=st.floats(0.2, 60),
    steps=st.lists(st.floats(0.01, 3), max_size=60),
)
def test_every_frame_comes_out_once_in_order(fps: float, steps: list[float]) -> None:
    segmenter = Segmenter(fps)
    times = [sum(steps[: i + 1]) for i in range(len(steps))]
    groups = fed(segmenter, times)
    rest = segmenter.flush()
    groups += [[f.t for f in rest]] if rest else []
    assert [t for group in groups for t in group] == times
    for group in groups:
        assert len(group) <= segmenter.frames_per_segment
        assert group[-1] - group[0] < 1.0 + 0.5 / fps
