"""What the server keeps of each camera, what it trains on and what it holds out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.core.ids import CameraId
from ecco_emu.tasks.detection import Labels, Sample
from ecco_emu.trainer.samples import SampleStore

A, B = CameraId("a"), CameraId("b")
PIXELS = np.zeros((2, 2, 3), np.uint8)


def frames(camera: CameraId, *indices: int) -> list[Sample]:
    return [Sample(camera, index, index / 10, PIXELS, Labels.empty()) for index in indices]


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
    drawn = store.draw([A, B, CameraId("none")], 8, np.random.default_rng(0))
    assert sorted(sample.camera for sample in drawn) == [A] * 4 + [B] * 4


def test_newer_samples_are_drawn_more_often() -> None:
    store = SampleStore()
    store.add(frames(A, *range(240)))
    random = np.random.default_rng(0)
    drawn = [sample.index for _ in range(300) for sample in store.draw([A], 4, random)]
    newer = sum(index >= 160 for index in drawn)
    assert newer > 2 * sum(index < 80 for index in drawn)
    assert min(drawn) < 40


def test_no_samples_no_draw() -> None:
    assert SampleStore().draw([A], 4, np.random.default_rng(0)) == []


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
    drawn = store.draw([A, B], count, np.random.default_rng(0))
    anything = store.training(A) or store.training(B)
    assert len(drawn) == (count if anything else 0)
    assert all(sample.index in indices(store.training(sample.camera)) for sample in drawn)
