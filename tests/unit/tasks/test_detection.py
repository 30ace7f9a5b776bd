"""mAP against figures computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecco_emu.tasks.detection import (
    CLASSES,
    DetectionAccuracy,
    Detections,
    Labels,
    accuracy_over,
    estimate,
    match_frames,
    mean_average_precision,
)
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


Frames = tuple[list[Labels], list[Detections]]


def scattered(seed: int, frames: int = 4, *, ties: bool = True) -> Frames:
    """Frames with up to three objects each, found roughly, and false alarms, with ``ties`` some as sure."""
    random = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(frames):
        count = int(random.integers(0, 4))
        corners = random.uniform(0, 80, (count + 3, 2))
        boxes = np.hstack([corners, corners + random.uniform(4, 40, (count + 3, 2))])
        classes = random.integers(0, 3, count + 3)
        truth.append(labels(boxes[:count], classes[:count].tolist()))
        shaken = np.vstack([boxes, boxes[:count]]) + random.uniform(-3, 3, (2 * count + 3, 4))
        chosen = random.permutation(len(shaken))[: int(random.integers(0, len(shaken) + 1))]
        scores = random.integers(1, 20, len(shaken)) / 20 if ties else random.uniform(0, 1, len(shaken))
        found.append(
            detections(
                shaken[chosen], np.append(classes, classes[:count])[chosen].tolist(), scores[chosen].tolist()
            )
        )
    return truth, found


def by_the_library(truth: list[Labels], found: list[Detections]) -> tuple[float, float]:
    """mAP and mAP50 by faster-coco-eval's own way, from dictionaries."""
    from faster_coco_eval import COCO
    from faster_coco_eval.core.faster_eval_api import COCOeval_faster

    def entries(frames: list) -> list[dict]:
        found = []
        for image, frame in enumerate(frames, start=1):
            for number, (box, cls) in enumerate(
                zip(frame.boxes.tolist(), frame.classes.tolist(), strict=True)
            ):
                x, y, right, low = box
                score = {"score": float(frame.scores[number])} if isinstance(frame, Detections) else {}
                size = {"bbox": [x, y, right - x, low - y], "area": (right - x) * (low - y), "iscrowd": 0}
                found.append(
                    {"id": len(found) + 1, "image_id": image, "category_id": cls + 1, **size, **score}
                )
        return found

    coco = COCO(
        {
            "images": [{"id": image} for image in range(1, len(truth) + 1)],
            "annotations": entries(truth),
            "categories": [{"id": cls + 1, "name": name} for cls, name in enumerate(CLASSES)],
        }
    )
    evaluation = COCOeval_faster(
        coco, coco.loadRes(entries(found)), iouType="bbox", print_function=lambda *_: None
    )
    evaluation.params.maxDets = [100]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    table = evaluation.eval["precision"]
    return tuple(float(part[part > -1].mean()) if (part > -1).any() else 0.0 for part in (table, table[0]))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), subset=st.sets(st.integers(0, 5), min_size=1))
def test_frames_matched_once_give_the_librarys_figures(seed: int, subset: set[int]) -> None:
    """Over any of the frames, not only over those that were matched together."""
    truth, found = scattered(seed, frames=6)
    matched = match_frames(truth, found)
    chosen = sorted(subset)
    got = accuracy_over([matched[frame] for frame in chosen])
    expected = by_the_library([truth[frame] for frame in chosen], [found[frame] for frame in chosen])
    assert (got.map, got.map50) == pytest.approx(expected, abs=1e-9)


def test_replicates_leave_out_blocks_of_frames() -> None:
    truth, found = scattered(3, frames=20)
    got = estimate(match_frames(truth, found), [float(frame) for frame in range(20)])
    assert got is not None
    assert (got.value, got.frames) == (mean_average_precision(truth, found).map, 20)
    left_out = range(2, 5)  # of 20 frames in eight blocks, the second
    rest = [frame for frame in range(20) if frame not in left_out]
    expected = mean_average_precision([truth[frame] for frame in rest], [found[frame] for frame in rest])
    assert got.replicates[1] == expected.map
    assert len(got.replicates) == 8
    assert [t for t, _ in got.quality] == [frame for frame in range(20) if len(truth[frame])]


def test_without_objects_there_is_no_estimate() -> None:
    found = detections([BOX], [0], [0.9])
    assert estimate(match_frames([Labels.empty()] * 4, [found] * 4), [0, 1, 2, 3]) is None
    assert estimate([], []) is None


def test_a_class_that_a_replicate_lacks_is_not_averaged_in() -> None:
    """The pedestrian, never found, is in the first frame alone."""
    truth = [labels([BOX, FAR], [0, 2]), labels([BOX], [0])]
    got = estimate(match_frames(truth, [detections([BOX], [0], [0.9])] * 2), [0.0, 1.0])
    assert got is not None
    assert got.value == pytest.approx(0.5)
    assert got.replicates == pytest.approx((1.0, 0.5))


def test_objects_in_one_block_alone_leave_the_error_unknown() -> None:
    truth = [labels([BOX], [0]), Labels.empty(), Labels.empty()]
    got = estimate(match_frames(truth, [detections([BOX], [0], [0.9])] * 3), [0.0, 1.0, 2.0])
    assert got is not None
    assert got.value == pytest.approx(1.0)
    assert got.replicates == ()
    one = estimate(match_frames(truth[:1], [detections([BOX], [0], [0.9])]), [0.0])
    assert one is not None
    assert one.replicates == ()


@pytest.mark.parametrize(
    ("found", "f1"),
    [
        (detections([BOX, FAR], [0, 0], [0.9, 0.9]), 1.0),
        (detections([BOX], [0], [0.9]), 2 / 3),
        (detections([BOX, FAR, FAR], [0, 0, 0], [0.9, 0.9, 0.8]), 4 / 5),  # an object is found once
        (detections([BOX, FAR], [0, 1], [0.9, 0.9]), 2 / 4),  # a truck where there is a car
        (detections([BOX, FAR], [0, 0], [0.9, 0.24]), 2 / 3),  # too unsure to be shown
        (detections([(10, 10, 50, 19), FAR], [0, 0], [0.9, 0.9]), 2 / 4),  # IoU 0.45
        (detections([], [], []), 0.0),
    ],
)
def test_f1_of_a_frame(found: Detections, f1: float) -> None:
    (frame,) = match_frames([labels([BOX, FAR], [0, 0])], [found])
    assert frame.f1 == pytest.approx(f1)


def test_f1_of_a_frame_without_objects_is_unknown() -> None:
    assert match_frames([Labels.empty()], [detections([BOX], [0], [0.9])])[0].f1 is None


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_bounds_and_the_order_of_images(seed: int) -> None:
    truth, found = scattered(seed, ties=False)
    got = mean_average_precision(truth, found)
    assert 0 <= got.map <= got.map50 <= 1
    turned = mean_average_precision(truth[::-1], found[::-1])
    assert (turned.map, turned.map50) == pytest.approx((got.map, got.map50))
