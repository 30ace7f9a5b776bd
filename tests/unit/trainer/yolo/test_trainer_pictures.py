"""Pictures on their way into a student."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.tasks.detection import Labels
from ecco_emu.trainer.yolo.pictures import (
    PADDING,
    Augmentation,
    Letterbox,
    fitted,
    moved,
    stack,
    training_batch,
)
from tests.unit.trainer.trainer_pictures import COLOURS, labels, picture

SIZE = (128, 96)


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    image, _ = picture(np.random.default_rng(0))
    placed, fit = fitted(image, SIZE)
    assert placed is image
    assert fit.exact


def test_a_wide_picture_is_letterboxed() -> None:
    placed, fit = fitted(np.full((32, 128, 3), 7, np.uint8), SIZE)
    assert placed.shape == (96, 128, 3)
    assert (placed[:31] == PADDING).all()
    assert (placed[33:63] == 7).all()
    assert fit.offset_y == 32


def test_a_small_picture_is_enlarged_to_the_edge() -> None:
    placed, fit = fitted(np.full((48, 64, 3), 9, np.uint8), SIZE)
    assert fit.scale == 2
    assert (placed[2:-2, 2:-2] == 9).all()


@given(
    width=st.integers(16, 700),
    height=st.integers(16, 700),
    x=st.floats(0, 0.5),
    y=st.floats(0, 0.5),
)
def test_fitting_is_undone(width: int, height: int, x: float, y: float) -> None:
    fit = Letterbox.of(np.zeros((height, width, 3), np.uint8), SIZE)
    box = np.array([[x * width, y * height, (x + 0.5) * width, (y + 0.5) * height]], np.float32)
    offset = np.array([fit.offset_x, fit.offset_y] * 2, np.float32)
    placed = box * np.float32(fit.scale) + offset
    assert (placed >= -1e-3).all()
    assert (placed <= np.array(SIZE * 2) + 1e-3).all()
    assert fit.undo(placed) == pytest.approx(box, abs=0.05)


def test_undone_boxes_stay_inside_the_picture() -> None:
    fit = Letterbox.of(np.zeros((32, 128, 3), np.uint8), SIZE)
    assert fit.undo(np.array([[-5, 0, 200, 96]], np.float32)).tolist() == [[0, 0, 128, 32]]


def test_labels_move_with_the_picture() -> None:
    mirrored = np.array([[-1.0, 0, 128], [0, 1, 0]])
    assert moved(labels([(10, 5, 30, 15)], [1]), mirrored, SIZE).boxes.tolist() == [[98, 5, 118, 15]]
    doubled = np.array([[2.0, 0, 0], [0, 2, 0]])
    assert moved(labels([(10, 5, 30, 15)], [1]), doubled, SIZE).boxes.tolist() == [[20, 10, 60, 30]]


def test_objects_that_leave_the_picture_are_dropped() -> None:
    shifted = np.array([[1.0, 0, 100], [0, 1, 0]])
    kept = moved(labels([(0, 0, 40, 20), (10, 0, 120, 20), (40, 0, 60, 20)], [0, 1, 2]), shifted, SIZE)
    assert kept.classes.tolist() == [0]
    assert kept.boxes.tolist() == [[100, 0, 128, 20]]


def test_no_augmentation_changes_nothing() -> None:
    random = np.random.default_rng(0)
    image, truth = picture(random)
    batch = training_batch([(image, truth)], SIZE, Augmentation.none(), random)
    assert batch.images[0].permute(1, 2, 0).numpy() == pytest.approx(image / 255, abs=1e-6)
    back = batch.boxes.numpy() * np.array(SIZE * 2)
    assert back[:, :2] - back[:, 2:] / 2 == pytest.approx(truth.boxes[:, :2], abs=1e-3)
    assert batch.classes[:, 0].tolist() == truth.classes.tolist()


def test_boxes_follow_their_objects_through_augmentation() -> None:
    """Whatever the change of size, place and side: a box's centre still has its object's colour."""
    random = np.random.default_rng(4)
    image = np.full((96, 128, 3), 100, np.uint8)
    image[30:60, 20:60], image[50:80, 90:110] = COLOURS[0], COLOURS[2]
    truth = labels([(20, 30, 60, 60), (90, 50, 110, 80)], [0, 2])
    for _ in range(50):
        batch = training_batch([(image, truth)], SIZE, Augmentation(gain=0.1), random)
        for cls, (x, y, _, _) in zip(batch.classes[:, 0], batch.boxes, strict=True):
            colour = batch.images[0, :, int(y * 96), int(x * 128)]
            assert int(colour.argmax()) == (0 if cls == 0 else 1)


def test_empty_pictures_make_a_batch() -> None:
    image, _ = picture(np.random.default_rng(0))
    batch = training_batch([(image, Labels.empty())] * 2, SIZE, Augmentation(), np.random.default_rng(0))
    assert batch.images.shape == (2, 3, 96, 128)
    assert batch.boxes.shape == (0, 4)
    assert batch.classes.shape == (0, 1)


def test_stacked_pictures_are_fractions_of_white() -> None:
    stacked = stack([np.zeros((4, 6, 3), np.uint8), np.full((4, 6, 3), 255, np.uint8)])
    assert stacked.shape == (2, 3, 4, 6)
    assert stacked.amin(dim=(1, 2, 3)).tolist() == [0, 1]
