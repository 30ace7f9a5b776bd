"""The parameters of the model, with their meanings; a fit is a YAML file in profiles/curve/.

``ecco-emu bench curve --write`` makes one from recorded runs of ``yolo``.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from ecco_emu.core.errors import ScenarioError
from ecco_emu.scenario import wording
from ecco_emu.scenario.document import parse
from ecco_emu.scenario.profiles import curve_path
from ecco_emu.scenario.sections.base import Number, Strict, Whole
from ecco_emu.scenario.text import read_text

SHIPPED = "yolo11n-town"
"""The fit of the shipped student on the rendered town."""

MOST_CLUTTER = 50

Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Skill = Annotated[Number, Field(ge=0, lt=1)]
"""The mAP that a student has on pictures of one condition, 0 to 1, on the average of scenes."""


class LearningCurve(Strict):
    """How students learn one condition: ``skill = most * x^steepness / (x^steepness + half^steepness)`` after
    ``x`` steps of training on it (Hill's function)."""

    first: Skill
    """Skill of the student that cameras start with."""
    most: Annotated[Number, Field(gt=0, lt=1)]
    """The skill that training tends to."""
    half: Positive
    """Steps after which a student without skill has half of ``most``."""
    steepness: Positive
    """Below 1 the first steps teach most and the rest very slowly; above 1 gains are flat at first."""
    ease: Number
    """Logits that scores of objects need more under this condition than under others for the same skill: fog
    hides the small ones, so that the rest is easy."""
    sureness: Number
    """Logits that are added to all scores of a student that has learnt all: it changes confidence and no
    accuracy."""
    fooled: Number
    """The same of a student that has learnt nothing: some conditions fool it, others leave nothing to see."""


class Learning(Strict):
    """The effect of a micro-window on skills. Steps are of one reference image."""

    conditions: Annotated[dict[str, LearningCurve], Field(min_length=1)]
    """By the condition's name. A condition that is not here is learnt as ``other``."""
    other: LearningCurve
    batch_exponent: NotNegative
    """A step of n images teaches n^batch_exponent times as much as a step of one. Near 0 steps count, with 1
    images do."""
    pixels_exponent: NotNegative
    """A picture of a part r of a reference image's pixels teaches r^pixels_exponent times as much. Taken from
    a measurement of sizes, not from runs."""
    sharing_exponent: NotNegative
    """For n cameras of one condition a step teaches n^-sharing_exponent times as much as for one: there are
    more scenes to learn."""
    draws: Positive
    """A sample that is drawn more often than about this teaches nothing new. Assumed."""
    luck: NotNegative
    """Standard deviation of the logarithm of how much a micro-window teaches."""
    forgetting_steps: Positive
    """Steps on other conditions after which a skill has fallen to 1/e, as far as it falls."""
    kept: Annotated[Number, Field(ge=0, le=1)]
    """The part of ``most`` that is not forgotten."""
    rehearsal: Positive
    """A condition with the part p of the training forgets (1 - p)^rehearsal times as fast. Assumed."""
    familiarity: Annotated[Number, Field(ge=0, le=1)]
    """On a frame that a job was trained on its skill is nearer to ``most``, by this part of the distance."""
    familiar_draws: Positive
    """Draws of a frame after which that is so to 1 - 1/e. Assumed."""
    fading: Annotated[Number, Field(ge=1)]
    """While one condition fades into another, each one's skill counts with its part to this power. Above 1 a
    mix of both fits a student less than either."""

    def curve(self, condition: str) -> LearningCurve:
        return self.conditions.get(condition, self.other)


class Seeing(Strict):
    """How skill shows in detections. Levels are logits of scores."""

    skills: Annotated[tuple[Skill, ...], Field(min_length=2)]
    """Skills, ascending from 0, for which ``levels`` has an object's mean score."""
    levels: Annotated[tuple[Number, ...], Field(min_length=2)]
    size_gain: Number
    """Logits for each factor of e in an object's size, the root of its box's area."""
    size_px: Positive
    """The size whose objects have the mean score."""
    class_logits: dict[str, Number]
    """Logits that an object's score has more than a car's of its size, by class."""
    place_sd: NotNegative
    """Between cameras, for ever: some views are harder."""
    scene_sd: NotNegative
    """Of a camera's scene, for some seconds, the same for all students."""
    object_sd: NotNegative
    """Of a spot in the picture, for some seconds, the same for all students."""
    own_sd: NotNegative
    """The same, of one student's own."""
    frame_sd: NotNegative
    """Of an object in a single frame."""
    memory_s: Positive
    """Seconds within which scene and spots change."""
    box_error: NotNegative
    """Standard deviation of an edge of a box relative to its side, at a score of 0.5."""
    box_gain: Number
    """An edge's error is multiplied by exp(-box_gain) for every logit above that."""
    sure_gain: Positive
    """Logits above 0 are multiplied by this: a detector is hardly ever as sure as it could be."""
    clutter: Annotated[Whole, Field(ge=0, le=MOST_CLUTTER)]
    """Places in a picture that may be taken for an object."""
    clutter_level: Number
    """Mean logit of such a detection's score where an object's level is 0."""
    clutter_gain: Number
    """Its change with an object's level: with 1 both move alike."""
    clutter_sd: NotNegative


class CurveFit(Strict):
    """A model of one student architecture in one kind of world."""

    version: Annotated[Whole, Field(ge=1, le=1)]
    student: str
    """The student that cameras start with."""
    input_size: tuple[Annotated[Whole, Field(ge=32)], Annotated[Whole, Field(ge=32)]]
    """Width and height of the pictures that a student is given, in pixels."""
    file_bytes: Annotated[Whole, Field(ge=1000, le=6_000_000)]
    """Size of a student's file, which the network has to carry."""
    learning: Learning
    seeing: Seeing
    provenance: dict[str, object] = Field(default_factory=dict)
    """Which runs it was fitted to, with which versions, and when."""
    residuals: dict[str, object] = Field(default_factory=dict)
    """How far the model is from these runs."""


def load_fit(path: str | Path | None = None) -> CurveFit:
    """The fit at a path, or of that name in profiles/curve/; the shipped one by default.

    Raises ``ScenarioError``; every mistake in the file is named with the file's path, line and column.
    """
    found = curve_path(str(path) if path is not None else SHIPPED)
    text, problem = read_text(found)
    if problem is not None:
        raise ScenarioError(str(problem))
    return _read(text, str(found))


@lru_cache(maxsize=8)
def _read(text: str, name: str) -> CurveFit:
    """A run asks for its fit three times, and reading YAML takes a tenth of a second."""
    document = parse(text, name)
    if document.problems:
        raise ScenarioError("\n".join(map(str, document.problems)))
    try:
        return CurveFit.model_validate(document.data)
    except ValidationError as error:
        raise ScenarioError("\n".join(map(str, wording.problems_of(error, document, CurveFit)))) from error
