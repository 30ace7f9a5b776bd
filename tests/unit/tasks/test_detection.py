"""mAP against figures computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecco_emu.tasks.detection import DetectionAccuracy, Labels, mean_average_precision
from tests.unit.trainer.trainer_pictures import detections, labels

BOX = (10, 10, 50, 30)
FAR = (100, 100, 140, 120)


def test_found_exactly() -> None:
    assert mean_average_precision([labels([BOX], [0])], [detections([BOX], [0], [0.9])]) == DetectionAccuracy(
        1.0, 1.0, 1
    )


def test_overlap_decides_which_thresholds_are_met() -> None:
    """40x20 found as 40x13: IoU 0.65, which meets 0.50, 0.55, 0.60 and 0.65 of the ten thresholds."""
    got = mean_average_precision([labels([BOX], [0])], [detections([(10, 10, 50, 23)], [0], [0.9])])
    assert got.map50 == pytest.approx(1.0)
    assert got.map == pytest.approx(0.4)


def test_half_of_the_objects_found() -> None:
    """Recall stops at 0.5: precision is 1 at 51 of COCO's 101 recalls and 0 beyond."""
    got = mean_average_precision([labels([BOX, FAR], [0, 0])], [detections([BOX], [0], [0.9])])
    assert got.map == pytest.approx(51 / 101)
    assert got.objects == 2


def test_a_surer_false_alarm_halves_precision() -> None:
    got = mean_average_precision([labels([BOX], [0])], [detections([FAR, BOX], [0, 0], [0.9, 0.8])])
    assert got.map50 == pytest.approx(0.5)


def test_false_alarms_on_empty_images_count() -> None:
    truth = [labels([BOX], [0]), Labels.empty()]
    found = [detections([BOX], [0], [0.5]), detections([BOX], [0], [0.9])]
    assert mean_average_precision(truth, found).map50 == pytest.approx(0.5)


def test_the_mean_is_over_classes_that_occur() -> None:
    """A car found, a pedestrian missed; the truck reported where no truck ever is does not count."""
    truth = [labels([BOX, FAR], [0, 2])]
    found = [detections([BOX, FAR], [0, 1], [0.9, 0.9])]
    assert mean_average_precision(truth, found).map == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("truth", "found", "objects"),
    [
        ([], [], 0),
        ([Labels.empty()], [detections([], [], [])], 0),
        ([Labels.empty()], [detections([BOX], [0], [0.9])], 0),
        ([labels([BOX], [0])], [detections([], [], [])], 1),
    ],
)
def test_nothing_there_or_nothing_found_is_zero(truth: list, found: list, objects: int) -> None:
    assert mean_average_precision(truth, found) == DetectionAccuracy(0.0, 0.0, objects)


def test_one_detection_list_per_image() -> None:
    with pytest.raises(ValueError, match="2 images have labels but 1 have detections"):
        mean_average_precision([Labels.empty(), Labels.empty()], [detections([], [], [])])


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    mean_average_precision([labels([BOX], [0])], [detections([BOX], [0], [0.9])])
    assert capfd.readouterr() == ("", "")


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_bounds_and_the_order_of_images(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(4):
        count = int(random.integers(0, 4))
        corners = random.uniform(0, 80, (count, 2))
        boxes = np.hstack([corners, corners + random.uniform(4, 40, (count, 2))])
        classes = random.integers(0, 3, count).tolist()
        truth.append(labels(boxes, classes))
        shaken = boxes + random.uniform(-3, 3, boxes.shape)
        found.append(detections(shaken, classes, random.uniform(0, 1, count).tolist()))
    got = mean_average_precision(truth, found)
    assert 0 <= got.map <= got.map50 <= 1
    turned = mean_average_precision(truth[::-1], found[::-1])
    assert (turned.map, turned.map50) == pytest.approx((got.map, got.map50))
