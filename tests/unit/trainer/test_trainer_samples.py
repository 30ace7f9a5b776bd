"""What the server keeps of each camera, what it trains on and what it holds out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.control.evidence import Evidence
from ecco_emu.core.ids import CameraId
from ecco_emu.tasks.detection import Labels, Sample
from ecco_emu.trainer.samples import SampleStore

A, B = CameraId("a"), CameraId("b")
PIXELS = np.zeros((2, 2, 3), np.uint8)


def frames(camera: CameraId, *indices: int, gap_s: float = 0.1) -> list[Sample]:
    return [Sample(camera, index, index * gap_s, PIXELS, Labels.empty()) for index in indices]


def indices(samples: list[Sample]) -> list[int]:
    return [sample.index for sample in samples]


def test_every_fourth_sample_is_held_out() -> None:
    store = SampleStore()
    store.add(frames(A, *range(12)))
    assert indices(store.training(A)) == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert indices(store.evaluation(A, 3)) == [3, 7, 11]
    assert indices(store.evaluation(A, 2)) == [7, 11]


def test_too_few_held_out_and_the_newest_stand_in() -> None:
    store = SampleStore()
    store.add(frames(A, *range(6)))
    assert indices(store.evaluation(A, 8)) == [0, 1, 2, 3, 4, 5]
    assert indices(store.evaluation(A, 4)) == [2, 3, 4, 5]
    store.add(frames(A, *range(6, 8)))
    assert indices(store.evaluation(A, 4)) == [3, 7]


@pytest.mark.parametrize(
    ("gap_s", "held_out"),
    [
        (0.1, 10),  # 200 frames in 20 s: a quarter is far more than the 8 that are asked for
        (0.5, 10),  # 40 frames: a quarter is 10
        (0.8, 13),  # 25 frames: 8 of them are 32 %
        (2.0, 20),  # 10 frames: 8 of them are 80 %, and a half is the most
        (30.0, 20),  # less than one
    ],
)
def test_a_slow_camera_has_more_held_out(gap_s: float, held_out: int) -> None:
    store = SampleStore()
    store.add(frames(A, *range(40), gap_s=gap_s))
    assert store.count(A) - len(store.training(A)) == pytest.approx(held_out, abs=1)


def test_the_share_follows_the_rate() -> None:
    """Fast, then slow: every fourth sample, then every second."""
    store = SampleStore()
    store.add(frames(A, *range(40)))
    before = len(store.training(A))
    store.add([Sample(A, 1000 + each, 100.0 + 3 * each, PIXELS, Labels.empty()) for each in range(40)])
    assert before == 30
    assert len(store.training(A)) - before == pytest.approx(20, abs=1)


def test_a_camera_of_1_25_frames_a_second_has_its_frames_of_evidence_in_time() -> None:
    """Eight held-out frames that span less than 20 s; every fourth frame would take 26 s."""
    store = SampleStore()
    store.add(frames(A, *range(100), gap_s=0.8))
    newest = store.evaluation(A, 8)
    assert newest[-1].t - newest[0].t < 20


def test_frames_from_before_the_drift_are_no_evidence() -> None:
    store = SampleStore()
    store.add(frames(A, *range(40)))
    assert indices(store.evaluation(A, 4, since=2.0)) == [27, 31, 35, 39]
    assert indices(store.evaluation(A, 24, since=2.0)) == list(range(20, 40))
    assert indices(store.evaluation(A, 24, since=9.0)) == []
    assert indices(store.training(A, since=3.5)) == [36, 37, 38]
    assert min(indices(store.training(A, since=2.0))) == 20
    drawn = store.draw([Evidence(A, 3.5)], 60, np.random.default_rng(0))
    assert set(indices(drawn)) == {36, 37, 38}
    assert store.draw([Evidence(A, 9.0)], 4, np.random.default_rng(0)) == []


def test_a_request_is_measured_on_its_own_few_frames() -> None:
    """Long calm days, then a drift of which six frames are known: older held-out frames do not fill up."""
    store = SampleStore()
    store.add(frames(A, *range(400)))
    assert indices(store.evaluation(A, 24, since=39.4)) == [394, 395, 396, 397, 398, 399]


def test_forgetting_a_camera() -> None:
    store = SampleStore(max_bytes=8 * PIXELS.nbytes)
    store.add(frames(A, *range(4)) + frames(B, 0, 1, 2))
    store.forget(A, before=0.2)
    assert indices(store.evaluation(A, 8)) == [2, 3]
    store.forget(A)
    store.forget(A)
    store.forget(CameraId("none"))
    assert store.count(A) == 0
    store.add(frames(B, *range(3, 8)))  # the room that A had is free again
    assert store.count(B) == 8


def test_a_frame_that_comes_again_is_one_sample() -> None:
    store = SampleStore()
    store.add(frames(A, 5, 3, 5, 4, 3))
    assert store.count(A) == 3
    assert indices(store.evaluation(A, 8)) == [3, 4, 5]


def test_a_camera_keeps_its_newest() -> None:
    store = SampleStore(per_camera=4)
    store.add(frames(A, *range(10)) + frames(B, 0))
    assert indices(store.evaluation(A, 100)) == [6, 7, 8, 9]
    assert store.count(B) == 1


def test_memory_is_bounded_at_the_cost_of_the_largest() -> None:
    store = SampleStore(max_bytes=6 * PIXELS.nbytes)
    store.add(frames(A, *range(5)) + frames(B, 0, 1, 2))
    assert store.count(A) == 3
    assert store.count(B) == 3


def test_draws_are_balanced_over_cameras() -> None:
    store = SampleStore()
    store.add(frames(A, *range(200)) + frames(B, 0, 1))
    drawn = store.draw([Evidence(A), Evidence(B), Evidence(CameraId("none"))], 8, np.random.default_rng(0))
    assert sorted(sample.camera for sample in drawn) == [A] * 4 + [B] * 4


def test_newer_samples_are_drawn_more_often() -> None:
    store = SampleStore()
    store.add(frames(A, *range(240)))
    random = np.random.default_rng(0)
    drawn = [sample.index for _ in range(300) for sample in store.draw([Evidence(A)], 4, random)]
    newer = sum(index >= 160 for index in drawn)
    assert newer > 2 * sum(index < 80 for index in drawn)
    assert min(drawn) < 40


def test_no_samples_no_draw() -> None:
    assert SampleStore().draw([Evidence(A)], 4, np.random.default_rng(0)) == []


@given(
    arrivals=st.lists(st.tuples(st.sampled_from([A, B]), st.integers(0, 60)), max_size=120),
    count=st.integers(1, 16),
    frames_wanted=st.integers(1, 12),
)
def test_what_is_held_out_is_never_trained_on(
    arrivals: list[tuple[CameraId, int]], count: int, frames_wanted: int
) -> None:
    store = SampleStore(per_camera=30)
    for camera, index in arrivals:
        store.add(frames(camera, index))
    for camera in (A, B):
        training = indices(store.training(camera))
        evaluation = indices(store.evaluation(camera, frames_wanted))
        assert training == sorted(set(training))
        assert evaluation == sorted(set(evaluation))
        assert len(evaluation) <= frames_wanted
        assert store.count(camera) <= 30
        held_out = store.count(camera) - len(training)
        if 2 * held_out >= frames_wanted:
            assert not set(training) & set(evaluation)
    drawn = store.draw([Evidence(A), Evidence(B)], count, np.random.default_rng(0))
    anything = store.training(A) or store.training(B)
    assert len(drawn) == (count if anything else 0)
    assert all(sample.index in indices(store.training(sample.camera)) for sample in drawn)
