"""Micro-windows of real training, on small pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from ecco_emu.trainer.backend import LabelledImage
from ecco_emu.trainer.yolo import student
from ecco_emu.trainer.yolo.pictures import Augmentation
from ecco_emu.trainer.yolo.session import GpuBatches, TrainingSession, settling_size
from ecco_emu.trainer.yolo.steps import parameter_groups
from tests.unit.trainer.trainer_pictures import picture

SIZE = (128, 96)


def steps(count: int, batch: int = 4, gpus: int = 1, size: tuple[int, int] = SIZE) -> list[GpuBatches]:
    random = np.random.default_rng(1)
    pool = [picture(random) for _ in range(16)]

    def drawn() -> list[LabelledImage]:
        return [pool[int(random.integers(16))] for _ in range(batch)]

    return [GpuBatches(size, [drawn() for _ in range(gpus)]) for _ in range(count)]


def session(**changes: object) -> TrainingSession:
    settings: dict = {"learning_rate": 0.001, "seed": 7, "name": "job"} | changes
    return TrainingSession(student.build(seed=2), SIZE, **settings)


def train(trained: TrainingSession, batches: list[GpuBatches]) -> list[float]:
    """A micro-window; the losses per image."""
    losses, wall_s = trained.train_micro(batches, batches[-1].pictures())
    assert wall_s > 0
    return [loss / len(each.pictures()) for loss, each in zip(losses, batches, strict=True)]


def test_training_lowers_the_loss() -> None:
    losses = train(session(), steps(24))
    assert len(losses) == 24
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])


def test_equal_seeds_give_equal_losses() -> None:
    first, again, other = (train(session(seed=seed), steps(4)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_two_micro_windows_are_one_longer_one() -> None:
    """Momentum and chance go on where the last micro-window ended."""
    batches = steps(6)
    whole, halves = session(), session()
    expected = train(whole, batches)
    assert train(halves, batches[:3]) + train(halves, batches[3:]) == expected


def test_a_gpus_batch_is_normalised_on_its_own() -> None:
    """Two GPUs that see the same pictures lose what one of them loses; their gradients point where its do."""
    (one,) = steps(1)
    plain = {"augmentation": Augmentation.none(), "precision": torch.float32}
    single, double = session(**plain), session(gpus=2, **plain)
    losses = train(single, [one]), train(double, [GpuBatches(SIZE, [*one.parts, *one.parts])])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert torch.cosine_similarity(gradient(single), gradient(double), dim=0) > 1 - 1e-5


def gradient(trained: TrainingSession) -> torch.Tensor:
    """Of the last step, all parameters in a row."""
    return torch.cat([each.grad.flatten() for each in trained.model.parameters() if each.grad is not None])


def test_sizes_may_change_from_step_to_step() -> None:
    """And the statistics are measured at the size that most pixels were trained at."""
    trained = session()
    seen: list[tuple[int, ...]] = []
    trained.model.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    mixed = [*steps(1), *steps(1, size=(64, 64)), *steps(1, size=(160, 96))]
    losses = train(trained, mixed)
    assert all(math.isfinite(loss) for loss in losses)
    assert seen == [(4, 3, 96, 128), (4, 3, 64, 64), (4, 3, 96, 160), (4, 3, 96, 160)]


@pytest.mark.parametrize(
    ("small", "size"), [(0, (320, 192)), (1, (320, 192)), (4, (320, 192)), (5, (160, 96))]
)
def test_statistics_are_measured_where_most_was_trained(small: int, size: tuple[int, int]) -> None:
    """Beside one step of 320x192, steps of 160x96 with a quarter of its pixels each."""
    taken = [GpuBatches((320, 192), []), *[GpuBatches((160, 96), [])] * small]
    assert settling_size(taken) == size


def test_training_in_float32() -> None:
    losses = train(session(precision=torch.float32), steps(2))
    assert all(math.isfinite(loss) for loss in losses)


def test_batch_norm_statistics_move() -> None:
    trained = session()
    norm = [module for module in trained.model.modules() if isinstance(module, nn.BatchNorm2d)][-1]
    mean, bias = norm.running_mean.clone(), norm.bias.detach().clone()
    train(trained, steps(2))
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
    train(trained, steps(1))
    assert torch.equal(projection, torch.arange(16.0))
