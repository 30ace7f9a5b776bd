"""What is measured, on which frames, and what is not run twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ecco_emu.control.evidence import paired
from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId, JobId, ModelHash
from ecco_emu.tasks.detection import Detections, Sample
from ecco_emu.trainer.measuring import Measurements, Subject
from tests.unit.trainer.trainer_pictures import detections, labels

A, B = CameraId("a"), CameraId("b")
JOB, MODEL = JobId("job-1"), ModelHash("0" * 16)
BOX = (10, 10, 50, 30)


class Seers:
    """``MODEL`` finds the box in every picture, a job in bright ones only; counts the pictures."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, subject: Subject, images: Sequence[Image]) -> list[Detections]:
        self.seen.append(len(images))
        found = detections([BOX], [0], [0.9])
        return [found if subject == MODEL or image.max() else detections([], [], []) for image in images]


def sample(camera: CameraId, index: int, *, bright: bool = True, objects: int = 1) -> Sample:
    image = np.full((4, 4, 3), 255 * bright, np.uint8)
    return Sample(camera, index, index / 2, image, labels([BOX] * objects, [0] * objects))


def samples(camera: CameraId, *indices: int, **about: int) -> list[Sample]:
    return [sample(camera, index, **about) for index in indices]


def test_an_accuracy_has_value_replicates_and_quality() -> None:
    half = [sample(A, index, bright=index < 8) for index in range(16)]
    (measured, images) = Measurements(Seers()).measure(JOB, {A: half})
    got = measured[A]
    assert images == got.frames == 16
    assert got.value == pytest.approx(51 / 101)  # COCO's: recall ends at 0.5
    # eight blocks of two frames: without a bright block 6 of 14 are found, else 8 of 14
    assert got.replicates == pytest.approx([43 / 101] * 4 + [58 / 101] * 4)
    assert got.quality == tuple((index / 2, float(index < 8)) for index in range(16))


def test_two_models_on_the_same_frames_can_be_paired() -> None:
    own = [sample(A, index, bright=index % 2 == 0) for index in range(24)]
    measurements = Measurements(Seers())
    better, worse = (measurements.measure(subject, {A: own})[0][A] for subject in (MODEL, JOB))
    difference = paired(better, worse)
    assert difference.value == pytest.approx(0.5, abs=0.01)
    assert difference.lower(0.95) > 0.3


def test_a_camera_without_objects_is_unmeasured_not_zero() -> None:
    measured, images = Measurements(Seers()).measure(
        MODEL, {A: samples(A, 0, 1, objects=0), B: samples(B, 0, 1)}
    )
    assert set(measured) == {B}
    assert images == 4


def test_frames_that_were_seen_are_not_run_again() -> None:
    run = Seers()
    measurements = Measurements(run)
    first = measurements.measure(JOB, {A: samples(A, *range(8)), B: samples(B, 0)})
    again = measurements.measure(JOB, {A: samples(A, *range(2, 10)), B: samples(B, 0)})
    assert run.seen == [9, 2]
    assert (first[1], again[1]) == (9, 2)
    assert measurements.measure(MODEL, {A: samples(A, 0)})[1] == 1  # another student's are its own


def test_a_job_that_trained_is_measured_anew() -> None:
    measurements = Measurements(Seers())
    measurements.measure(JOB, {A: samples(A, 0, 1)})
    measurements.measure(MODEL, {A: samples(A, 0, 1)})
    measurements.forget(subject=JOB)
    assert measurements.measure(JOB, {A: samples(A, 0, 1)})[1] == 2
    assert measurements.measure(MODEL, {A: samples(A, 0, 1)})[1] == 0
    measurements.forget(camera=A)
    assert measurements.measure(MODEL, {A: samples(A, 0, 1)})[1] == 2


def test_what_is_kept_is_bounded() -> None:
    measurements = Measurements(Seers(), most_kept=4)
    assert measurements.measure(MODEL, {A: samples(A, *range(6))})[0][A].frames == 6
    assert measurements.measure(MODEL, {A: samples(A, *range(2, 6))})[1] == 0
    assert measurements.measure(MODEL, {A: samples(A, 0)})[1] == 1


def test_nothing_to_measure() -> None:
    run = Seers()
    assert Measurements(run).measure(MODEL, {A: []}) == ({}, 0)
    assert run.seen == []
