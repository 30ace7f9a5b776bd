"""The measurement that ``dilation: auto`` is worked out from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from ecco_emu.trainer.backend import BadStudentError, LabelledImage
from ecco_emu.trainer.yolo import speed, student
from tests.unit.trainer.trainer_pictures import picture
from tests.unit.trainer.yolo.test_trainer_session import SIZE


def test_training_that_diverges_while_it_is_measured_does_not_end_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A learning rate of 1 with a batch of 1 does so. In the run, the job will be rolled back for it."""
    monkeypatch.setattr(speed, "_TRAIN_S", 0.0)
    monkeypatch.setattr(speed, "_INFER_S", 0.0)
    trained = student.load(student.to_bytes(student.build(seed=2), SIZE))

    def diverge(_: Sequence[LabelledImage]) -> None:
        with torch.no_grad():
            for parameter in trained.model.parameters():
                parameter.fill_(torch.nan)

    pictures = [picture(np.random.default_rng(1))]
    measured = speed.measure_speed(trained, trained, pictures, diverge, batch=1, gpus=1)
    assert measured.export_s > 0
    with pytest.raises(BadStudentError, match="its training diverged"):
        student.to_bytes(trained.model, trained.size)


@pytest.mark.parametrize(("planned", "sizes"), [(True, [20, 20]), (False, [2, 16])])
def test_steps_are_measured_after_their_shape_was_planned(
    monkeypatch: pytest.MonkeyPatch, planned: bool, sizes: list[int]
) -> None:
    """On a GPU a shape's first step takes seconds, and a step's time does not follow from a smaller one's."""
    monkeypatch.setattr(speed, "_TRAIN_S", 0.0)
    monkeypatch.setattr(speed, "_INFER_S", 0.0)
    monkeypatch.setattr(speed, "plans_shapes", lambda device: planned)
    trained = student.load(student.to_bytes(student.build(seed=2), SIZE))
    taken: list[int] = []
    pictures = [picture(np.random.default_rng(1))]
    speed.measure_speed(trained, trained, pictures, lambda drawn: taken.append(len(drawn)), batch=10, gpus=2)
    assert taken == sizes
