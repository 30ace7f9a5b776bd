"""From a detector's raw output to detections in the pictures' pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ecco_emu.trainer.yolo import student
from ecco_emu.trainer.yolo.detect import detect

SIZE = (128, 96)


class Scripted(nn.Module):
    """Says the same of every picture: rows of centre x, centre y, width, height, three scores."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.output = nn.Parameter(torch.tensor(rows).T[None], requires_grad=False)
        self.batches: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.shape[1:] == (3, 96, 128)
        self.batches.append(len(images))
        return self.output.expand(len(images), -1, -1)


def blank(width: int = 128, height: int = 96) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def test_boxes_come_back_in_the_pictures_own_pixels() -> None:
    model = Scripted([[64, 48, 32, 16, 0.0, 0.9, 0.0]])
    large, same, wide = detect(model, [blank(256, 192), blank(), blank(128, 48)], SIZE)
    assert large.boxes.tolist() == [[96, 80, 160, 112]]
    assert same.boxes.tolist() == [[48, 40, 80, 56]]
    assert wide.boxes.tolist() == [[48, 16, 80, 32]]
    assert same.classes.tolist() == [1]
    assert same.scores.tolist() == pytest.approx([0.9])
    assert (same.boxes.dtype, same.scores.dtype, same.classes.dtype) == (np.float32, np.float32, np.int64)


def test_overlapping_boxes_of_a_class_are_one_object() -> None:
    rows = [[40, 40, 20, 20, 0.8, 0, 0], [41, 40, 20, 20, 0.9, 0, 0], [40, 40, 20, 20, 0, 0, 0.7]]
    (found,) = detect(Scripted(rows), [blank()], SIZE)
    assert found.classes.tolist() == [0, 2]
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])


def test_unsure_detections_are_left_out() -> None:
    rows = [[40, 40, 20, 20, 0.3, 0, 0], [90, 40, 20, 20, 0.2, 0, 0], [60, 80, 20, 20, 5e-4, 0, 0]]
    assert len(detect(Scripted(rows), [blank()], SIZE)[0]) == 2
    assert len(detect(Scripted(rows), [blank()], SIZE, min_score=0.25)[0]) == 1
    assert len(detect(Scripted(rows), [blank()], SIZE, min_score=0.5)[0]) == 0


def test_a_box_may_be_two_things_unless_told_otherwise() -> None:
    rows = [[40, 40, 20, 20, 0.6, 0.5, 0.0]]
    assert detect(Scripted(rows), [blank()], SIZE)[0].classes.tolist() == [0, 1]
    assert detect(Scripted(rows), [blank()], SIZE, best_class_only=True)[0].classes.tolist() == [0]


def test_at_most_a_hundred_the_best() -> None:
    rows = [
        [2.0 + x, 2.0 + y, 3, 3, 0.1 + 0.001 * (x + y), 0, 0]
        for x in range(0, 120, 8)
        for y in range(0, 90, 8)
    ]
    (found,) = detect(Scripted(rows), [blank()], SIZE)
    assert len(rows) > 100
    assert len(found) == 100
    assert (np.diff(found.scores) <= 0).all()


def test_many_pictures_are_run_in_batches() -> None:
    model = Scripted([[40, 40, 20, 20, 0.6, 0, 0]])
    assert len(detect(model, [blank()] * 35, SIZE)) == 35
    assert model.batches == [16, 16, 3]
    assert detect(model, [], SIZE) == []


def test_an_untrained_student_runs() -> None:
    found = detect(student.build(), [blank()], SIZE)
    assert len(found) == 1
