"""Micro-windows of real training, on small pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from ecco_emu.trainer.backend import LabelledImage
from ecco_emu.trainer.yolo import student
from ecco_emu.trainer.yolo.session import TrainingSession, steps_in
from ecco_emu.trainer.yolo.steps import parameter_groups
from tests.unit.trainer.trainer_pictures import picture

SIZE = (128, 96)


def batches(steps: int, batch: int = 4) -> list[list[LabelledImage]]:
    random = np.random.default_rng(1)
    pool = [picture(random) for _ in range(16)]
    return [[pool[int(random.integers(16))] for _ in range(batch)] for _ in range(steps)]


def session(**changes: object) -> TrainingSession:
    settings: dict = {"learning_rate": 0.001, "seed": 7, "name": "job"} | changes
    return TrainingSession(student.build(seed=2), SIZE, **settings)


def test_training_lowers_the_loss() -> None:
    result = session().train_micro(batches(24))
    assert result.steps == len(result.losses) == 24
    assert result.images == 96
    assert result.wall_s > 0
    assert np.mean(result.losses[-4:]) < 0.8 * np.mean(result.losses[:4])


def test_equal_seeds_give_equal_losses() -> None:
    first, again, other = (session(seed=seed).train_micro(batches(4)) for seed in (7, 7, 8))
    assert first.losses == again.losses
    assert first.losses != other.losses


def test_two_micro_windows_are_one_longer_one() -> None:
    """Momentum and chance go on where the last micro-window ended."""
    steps = batches(6)
    whole, halves = session(), session()
    expected = whole.train_micro(steps).losses
    assert halves.train_micro(steps[:3]).losses + halves.train_micro(steps[3:]).losses == expected


def test_training_in_float32() -> None:
    result = session(precision=torch.float32).train_micro(batches(2))
    assert all(math.isfinite(loss) for loss in result.losses)


def test_batch_norm_statistics_move() -> None:
    trained = session()
    norm = [module for module in trained.model.modules() if isinstance(module, nn.BatchNorm2d)][-1]
    mean, bias = norm.running_mean.clone(), norm.bias.detach().clone()
    trained.train_micro(batches(2))
    assert not torch.equal(norm.running_mean, mean)
    assert not torch.equal(norm.bias, bias)


def test_only_weights_decay_and_the_projection_is_constant() -> None:
    trained = session()
    decayed, plain = parameter_groups(trained.model)
    assert decayed["weight_decay"] == 5e-4
    assert plain["weight_decay"] == 0
    assert all(parameter.ndim > 1 for parameter in decayed["params"])
    assert all(parameter.ndim == 1 for parameter in plain["params"])
    projection = trained.model.state_dict()["model.23.dfl.conv.weight"].flatten()
    trained.train_micro(batches(1))
    assert torch.equal(projection, torch.arange(16.0))


@pytest.mark.parametrize(
    ("images", "batch", "steps"), [(160, 8, 20), (161, 8, 20), (7, 8, 1), (0, 4, 1), (320, 16, 20)]
)
def test_a_budget_of_images_pays_for_whole_steps(images: int, batch: int, steps: int) -> None:
    assert steps_in(images, batch) == steps
