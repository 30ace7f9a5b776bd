"""Budgets in pixels: how many steps they pay for, and at which size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.control.evidence import Evidence
from ecco_emu.core.ids import CameraId
from ecco_emu.tasks.detection import Labels, Sample
from ecco_emu.trainer.budget import DrawnStep, steps_within, training_size
from ecco_emu.trainer.samples import SampleStore

LARGE, SMALL = CameraId("large"), CameraId("small")
BOTH = (Evidence(LARGE), Evidence(SMALL))


def sample(camera: CameraId, index: int, width: int, height: int) -> Sample:
    return Sample(camera, index, index / 10, np.zeros((height, width, 3), np.uint8), Labels.empty())


def store() -> SampleStore:
    kept = SampleStore()
    kept.add([sample(LARGE, index, 320, 192) for index in range(12)])
    kept.add([sample(SMALL, index, 160, 96) for index in range(12)])
    return kept


def steps(budget: float, *evidence: Evidence, count: int = 8, seed: int = 0) -> list[DrawnStep]:
    return list(steps_within(store(), evidence or BOTH, count, budget, np.random.default_rng(seed)))


@pytest.mark.parametrize(
    ("budget", "count", "expected"), [(160, 8, 20), (161, 8, 20), (7, 8, 1), (0, 4, 1), (320, 16, 20)]
)
def test_at_the_reference_size_a_step_costs_its_images(budget: float, count: int, expected: int) -> None:
    assert len(steps(budget, Evidence(LARGE), count=count)) == expected


def test_a_quarter_of_the_pixels_four_times_the_steps() -> None:
    assert len(steps(160, Evidence(SMALL))) == 80
    assert steps(160, Evidence(SMALL))[0].cost == 2.0


def test_a_step_has_one_size_and_every_size_has_its_turn() -> None:
    drawn = steps(400)
    assert {step.size for step in drawn} == {(320, 192), (160, 96)}
    large = sum(step.size == (320, 192) for step in drawn) / len(drawn)
    assert large == pytest.approx(0.5, abs=0.15)
    for step in drawn:
        assert sorted(each.camera for each in step.samples) == [LARGE] * 4 + [SMALL] * 4


@given(budget=st.floats(0, 60), count=st.integers(1, 16), seed=st.integers(0, 99))
def test_the_budget_is_kept_but_for_one_step(budget: float, count: int, seed: int) -> None:
    drawn = steps(budget, count=count, seed=seed)
    spent = sum(step.cost for step in drawn)
    assert drawn
    assert spent <= budget + 1e-6 or len(drawn) == 1
    assert spent > budget - count - 1e-6  # no step more would have been paid for


def test_no_samples_no_steps() -> None:
    assert steps(100, Evidence(LARGE, since=5.0)) == []


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (320, 192, (320, 192)),
        (160, 96, (160, 96)),
        (256, 144, (256, 160)),
        (321, 192, (352, 192)),
        (16, 16, (64, 64)),
    ],
)
def test_sides_are_whole_strides(width: int, height: int, size: tuple[int, int]) -> None:
    assert training_size(np.zeros((height, width, 3), np.uint8)) == size
