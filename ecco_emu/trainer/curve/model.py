"""The formulas: the effect of training on a student's skills, and the skill that counts on a picture.

A student is its skill by condition. Training teaches the conditions of its pictures along a saturating curve,
and the others are forgotten. Of a micro-window's steps, with N images and R reference images in each,

    steps_c   = sum over steps of N^batch_exponent * (R / N)^pixels_exponent * (condition c's part of it)
    taught_c  = sum_m steps_m * similarity(m, c) * cameras_c^-sharing_exponent
    new_c     = taught_c * D (1 - exp(-1/D)),   D = draws * (samples of c) / (images of c)
    x_c       = experience(skill_c) + new_c * exp(luck * z)
    skill_c   = most_c * x_c^h / (x_c^h + half_c^h)
    kept_c    = min(skill_c, kept * most_c)
    forgotten = kept_c + (skill_c - kept_c) exp(-steps * (1 - p_c)^rehearsal / forgetting_steps)
    p_c       = condition c's part of all images

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ecco_emu.trainer.curve.fit import Learning, LearningCurve

Skills = Mapping[str, float]
"""mAP by condition."""


@dataclass(frozen=True, slots=True)
class CurveStudent:
    """A student."""

    skills: Skills
    lineage: str
    """Tells students apart whose skills are equal: sixteen hex digits, new with each training."""
    size: tuple[int, int]
    """Width and height of its input in pixels."""


@dataclass(frozen=True, slots=True)
class Taught:
    """The part of a micro-window's training that is of one condition. Of a picture in which one condition
    fades into another, each has its part."""

    steps: float
    """Weighted by their size (``step_worth``)."""
    images: float
    samples: float
    """Different ones among the images."""
    cameras: int


def similarity(trained: str, seen: str) -> float:
    """How much a picture of one condition teaches of another, 0 to 1.

    Only of the same one, until the difference between conditions of the town has been measured. Everything
    that asks how alike two conditions are asks here.
    """
    return 1.0 if trained == seen else 0.0


def step_worth(learning: Learning, images: int, reference_images: float) -> float:
    """How much a step teaches of so many images, which have the pixels of so many reference images."""
    size = min(1.0, reference_images / images)
    return float(images**learning.batch_exponent * size**learning.pixels_exponent)


def skill_after(curve: LearningCurve, steps: float) -> float:
    """The skill of a student that had none, after so many steps."""
    if steps <= 0:
        return 0.0
    return float(curve.most / (1.0 + (curve.half / steps) ** curve.steepness))


def experience(curve: LearningCurve, skill: float) -> float:
    """The steps that give a student without skill this one; infinite from ``most`` on."""
    if skill <= 0:
        return 0.0
    if skill >= curve.most:
        return math.inf
    return float(curve.half * (skill / (curve.most - skill)) ** (1.0 / curve.steepness))


def taught(
    learning: Learning, skills: Skills, lesson: Mapping[str, Taught], chance: float = 0.0
) -> dict[str, float]:
    """A student's skills after a lesson, which is told by condition. ``chance`` is the lesson's luck in
    standard deviations."""
    steps = math.fsum(each.steps for each in lesson.values())
    images = math.fsum(each.images for each in lesson.values())
    after = {}
    for condition in sorted({*skills, *lesson}):
        curve = learning.curve(condition)
        skill = skills.get(condition, curve.first)
        new = math.fsum(_news(learning, each) * similarity(name, condition) for name, each in lesson.items())
        if new > 0:
            # a skill above the one that training tends to is not taken away by training
            grown = experience(curve, skill) + new * math.exp(learning.luck * chance)
            skill = max(skill, skill_after(curve, grown))
        part = math.fsum(each.images * similarity(name, condition) for name, each in lesson.items())
        absent = max(0.0, 1.0 - part / images) ** learning.rehearsal if images else 0.0
        kept = min(skill, learning.kept * curve.most)
        after[condition] = kept + (skill - kept) * math.exp(-steps * absent / learning.forgetting_steps)
    return after


def _news(learning: Learning, of: Taught) -> float:
    """The steps of a lesson on one condition that teach something new."""
    if of.images <= 0:
        return 0.0
    fresh = learning.draws * of.samples / of.images
    return float(-of.steps * fresh * math.expm1(-1.0 / fresh) * of.cameras**-learning.sharing_exponent)


def familiar_skill(learning: Learning, skill: float, conditions: Mapping[str, float], draws: float) -> float:
    """The skill of a job on a frame that was drawn so often in its training."""
    most = math.fsum(part * learning.curve(name).most for name, part in conditions.items())
    known = -learning.familiarity * math.expm1(-draws / learning.familiar_draws)
    return skill + known * max(0.0, most - skill)


def skill_in(learning: Learning, skills: Skills, conditions: Mapping[str, float]) -> float:
    """The skill on pictures of these conditions, whose parts sum to 1."""
    return math.fsum(
        part**learning.fading * skills.get(name, learning.curve(name).first)
        for name, part in conditions.items()
    )


def first_skills(learning: Learning) -> dict[str, float]:
    """The skills of the student that cameras start with."""
    return {name: curve.first for name, curve in learning.conditions.items()}
