"""What training does to skills, by the formulas."""

from __future__ import annotations

import pytest

from ecco_emu.trainer.curve.fit import Learning, LearningCurve
from ecco_emu.trainer.curve.model import (
    Taught,
    experience,
    familiar_skill,
    first_skills,
    similarity,
    skill_after,
    skill_in,
    step_worth,
    taught,
)
from tests.unit.trainer.curve.curve_scenes import shipped

CURVE = LearningCurve(first=0.0, most=0.5, half=20.0, steepness=0.8, ease=0.0, sureness=0.0, fooled=0.0)
LEARNING = Learning(
    conditions={"fog": CURVE, "day": CURVE.model_copy(update={"first": 0.45})},
    other=CURVE,
    batch_exponent=0.1,
    pixels_exponent=1.2,
    sharing_exponent=0.3,
    draws=20.0,
    luck=0.2,
    forgetting_steps=3.0,
    kept=0.1,
    rehearsal=4.0,
    familiarity=0.4,
    familiar_draws=2.0,
    fading=2.0,
)
FIRST = {"fog": 0.0, "day": 0.45}


def lesson(steps: float, images: float | None = None, samples: float = 100, cameras: int = 1) -> Taught:
    return Taught(steps, steps * 4 if images is None else images, samples, cameras)


def test_skill_saturates_and_tells_the_training_it_stands_for() -> None:
    assert skill_after(CURVE, 0) == 0.0
    assert skill_after(CURVE, 20) == pytest.approx(0.25)
    assert skill_after(CURVE, 1e9) == pytest.approx(0.5, abs=1e-4)
    for steps in (0.5, 7.0, 90.0):
        assert experience(CURVE, skill_after(CURVE, steps)) == pytest.approx(steps)


def test_training_in_portions_is_training_at_once() -> None:
    skills = FIRST
    for _ in range(10):
        skills = taught(LEARNING, skills, {"fog": lesson(4, samples=1e6)})
    assert skills["fog"] == pytest.approx(
        taught(LEARNING, FIRST, {"fog": lesson(40, samples=1e6)})["fog"], rel=1e-5
    )


def test_other_conditions_are_forgotten_but_not_all_of_them() -> None:
    after = [taught(LEARNING, FIRST, {"fog": lesson(steps)})["day"] for steps in (1, 5, 500)]
    assert 0.45 > after[0] > after[1] > after[2]
    assert after[2] == pytest.approx(LEARNING.kept * CURVE.most)


def test_a_condition_among_others_is_rehearsed() -> None:
    mixed = taught(LEARNING, FIRST, {"fog": lesson(10), "day": lesson(10)})
    alone = taught(LEARNING, FIRST, {"fog": lesson(20)})
    assert mixed["day"] > alone["day"]
    assert 0 < mixed["fog"] < alone["fog"]


def test_training_takes_no_skill_away_from_what_it_trains() -> None:
    known = {"fog": 0.6}  # more than training tends to
    assert taught(LEARNING, known, {"fog": lesson(10)})["fog"] == 0.6


def test_a_few_samples_teach_no_more_for_being_repeated() -> None:
    few = taught(LEARNING, FIRST, {"fog": lesson(50, samples=2)})["fog"]
    many = taught(LEARNING, FIRST, {"fog": lesson(50, samples=200)})["fog"]
    assert few < many


def test_more_cameras_have_more_to_learn() -> None:
    one, eight = (taught(LEARNING, FIRST, {"fog": lesson(10, cameras=cameras)})["fog"] for cameras in (1, 8))
    assert eight < one


def test_small_pictures_teach_less_and_large_batches_hardly_more() -> None:
    assert step_worth(LEARNING, 8, 2.0) == pytest.approx(step_worth(LEARNING, 8, 8.0) * 0.25**1.2)
    assert step_worth(LEARNING, 16, 16.0) == pytest.approx(step_worth(LEARNING, 8, 8.0) * 2**0.1)


def test_luck_moves_a_lesson() -> None:
    unlucky, lucky = (taught(LEARNING, FIRST, {"fog": lesson(10)}, chance)["fog"] for chance in (-1.0, 1.0))
    assert unlucky < taught(LEARNING, FIRST, {"fog": lesson(10)})["fog"] < lucky


def test_only_the_same_condition_is_alike() -> None:
    assert similarity("fog", "fog") == 1.0
    assert similarity("fog", "rain") == 0.0


def test_skill_while_a_condition_fades() -> None:
    skills = {"day": 0.5, "fog": 0.1}
    assert skill_in(LEARNING, skills, {"fog": 1.0}) == 0.1
    assert skill_in(LEARNING, skills, {"day": 0.5, "fog": 0.5}) == pytest.approx(0.25 * 0.5 + 0.25 * 0.1)
    assert skill_in(LEARNING, {}, {"day": 1.0}) == 0.45  # as the student that cameras start with
    assert skill_in(LEARNING, {}, {"hail": 1.0}) == 0.0  # learnt as any other


def test_a_job_knows_the_frames_that_it_was_trained_on() -> None:
    known = familiar_skill(LEARNING, 0.1, {"fog": 1.0}, draws=100)
    assert known == pytest.approx(0.1 + 0.4 * (0.5 - 0.1))
    assert 0.1 < familiar_skill(LEARNING, 0.1, {"fog": 1.0}, draws=1) < known
    assert familiar_skill(LEARNING, 0.6, {"fog": 1.0}, draws=100) == 0.6


def test_the_shipped_student_is_one_of_clear_days() -> None:
    skills = first_skills(shipped().learning)
    assert skills["day"] > 0.4
    assert all(skills[name] < 0.1 for name in ("fog", "night", "rain"))
