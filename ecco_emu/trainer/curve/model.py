"""The formulas: what training does to a student's skills, and which skill pictures of a condition ask for.

A student is its skill by condition. Training teaches the conditions of its pictures along a saturating curve,
and the others are forgotten:

    taught_c  = sum_m images_m * similarity(m, c)          reference images, weighted by resolution
    new_c     = D (1 - exp(-taught_c / D)),  D = draws * samples_c
    x_c       = experience(skill_c) + new_c * exp(luck * z)
    skill_c   = most_c * x_c^h / (x_c^h + half_c^h)
    forgotten = skill_c * exp(-images * (1 - p_c)^rehearsal / forgetting_images),   p_c = taught_c / images

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ecco_emu.trainer.curve.fit import Fit, Learning, LearningCurve

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
class Lesson:
    """What a micro-window trained on, by condition. Of a picture in which one condition fades into another,
    each has its part."""

    images: Mapping[str, float]
    """Reference images, weighted by resolution (``worth``)."""
    samples: Mapping[str, float]
    """Different samples among them."""


def similarity(trained: str, seen: str) -> float:
    """How much a picture of one condition teaches of another, 0 to 1.

    Only of the same one, until the difference between conditions of the town has been measured. Everything
    that asks how alike two conditions are asks here.
    """
    return 1.0 if trained == seen else 0.0


def worth(learning: Learning, reference_images: float) -> float:
    """How many reference images a picture teaches as much as that has the pixels of ``reference_images``."""
    return float(reference_images * min(1.0, reference_images) ** learning.pixels_exponent)


def skill_after(curve: LearningCurve, images: float) -> float:
    """The skill of a student that had none, after so many reference images."""
    if images <= 0:
        return 0.0
    return float(curve.most / (1.0 + (curve.half / images) ** curve.steepness))


def experience(curve: LearningCurve, skill: float) -> float:
    """The reference images that give a student without skill this one; infinite from ``most`` on."""
    if skill <= 0:
        return 0.0
    if skill >= curve.most:
        return math.inf
    return float(curve.half * (skill / (curve.most - skill)) ** (1.0 / curve.steepness))


def taught(learning: Learning, skills: Skills, lesson: Lesson, chance: float = 0.0) -> dict[str, float]:
    """A student's skills after a lesson. ``chance`` is the lesson's luck in standard deviations."""
    total = math.fsum(lesson.images.values())
    after = {}
    for condition in sorted({*skills, *lesson.images}):
        curve = learning.curve(condition)
        images = math.fsum(n * similarity(each, condition) for each, n in lesson.images.items())
        samples = math.fsum(n * similarity(each, condition) for each, n in lesson.samples.items())
        skill = skills.get(condition, curve.first)
        if images > 0:
            news = learning.draws * samples
            gained = -news * math.expm1(-images / news) * math.exp(learning.luck * chance)
            # a skill above what training tends to is not taken away by training
            skill = max(skill, skill_after(curve, experience(curve, skill) + gained))
        absent = (1.0 - images / total) ** learning.rehearsal if images < total else 0.0
        after[condition] = skill * math.exp(-total * absent / learning.forgetting_images)
    return after


def skill_in(fit: Fit, skills: Skills, conditions: Mapping[str, float]) -> float:
    """The skill on pictures of these conditions, whose parts sum to 1: the mean of the conditions' skills."""
    return math.fsum(
        part * skills.get(name, fit.learning.curve(name).first) for name, part in conditions.items()
    )


def first_skills(fit: Fit) -> dict[str, float]:
    """The skills of the student that cameras start with."""
    return {name: curve.first for name, curve in fit.learning.conditions.items()}
