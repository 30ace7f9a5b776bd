"""Fits how skills grow to the students that recorded runs have measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy.optimize import least_squares

from ecco_emu.bench.curve.recorded import TrainedStudent
from ecco_emu.core.errors import ScenarioError
from ecco_emu.trainer.curve.fit import Learning, LearningCurve
from ecco_emu.trainer.curve.noise import Values

NOISE = 0.035
"""Standard deviation of a measured mAP around the curve, in the fit's residuals."""
_CURVE = (math.log(0.45), math.log(10.0), math.log(0.8))
"""The logarithms of ``most``, ``half`` and ``steepness`` that the fit begins with."""
_PRIOR = (0.3, 1.5, 0.4)
"""Standard deviations within which these are expected around that. Few runs reach the curve's end."""
_SCENES = 0.12
"""The same of the logarithm of how easy a scenario's scenes are under a condition."""


@dataclass(frozen=True, slots=True)
class LearningFit:
    learning: Learning
    students: tuple[TrainedStudent, ...]
    predicted: tuple[float, ...]
    """The model's mAP of each, on the scenes of its scenario."""

    @property
    def errors(self) -> Values:
        errors: Values = np.array(self.predicted) - np.array([each.accuracy for each in self.students])
        return errors


def fit_learning(
    students: Sequence[TrainedStudent], first: Mapping[str, float], base: Learning
) -> LearningFit:
    """``first`` has the first student's mAP by condition, ``base`` the rest, which no measured student tells:
    forgetting, resolution, repetition, confidence.

    A scenario's scenes may be easier or harder than others under a condition; that is fitted beside the
    curves and not kept. Raises ``ScenarioError`` if there is no student.
    """
    if not students:
        raise ScenarioError("no run has a student that was trained and measured: nothing can be fitted")
    conditions = sorted({each.condition for each in students})
    scenes = sorted({(each.scenario, each.condition) for each in students})
    problem = _Problem(students, conditions, scenes)
    found = least_squares(problem.residuals, problem.start(), loss="soft_l1").x
    curves = dict(base.conditions)
    for place, name in enumerate(conditions):
        most, half, steepness = np.exp(found[3 * place : 3 * place + 3]).tolist()
        old = base.curve(name)
        curves[name] = old.model_copy(
            update={
                "first": round(min(first.get(name, old.first), most), 4),
                "most": round(most, 4),
                "half": round(half, 4),
                "steepness": round(steepness, 4),
            }
        )
    for name in first.keys() - set(conditions):  # never trained here, as the day: its curve stays
        most = max(curves[name].most, first[name] + 0.02) if name in curves else first[name] + 0.02
        curves[name] = base.curve(name).model_copy(update={"first": round(first[name], 4), "most": most})
    predicted = problem.predicted(found)
    batch, sharing = found[3 * len(conditions) : 3 * len(conditions) + 2].tolist()
    learning = base.model_copy(
        update={
            "conditions": curves,
            "other": mean_curve([curves[name] for name in conditions]),
            "batch_exponent": round(max(0.0, batch), 4),
            "sharing_exponent": round(max(0.0, sharing), 4),
            "luck": round(_luck(students, predicted, curves), 3),
        }
    )
    return LearningFit(learning, tuple(students), tuple(predicted.tolist()))


@dataclass(frozen=True, slots=True)
class _Problem:
    students: Sequence[TrainedStudent]
    conditions: Sequence[str]
    scenes: Sequence[tuple[str, str]]

    def start(self) -> Values:
        return np.array([*_CURVE * len(self.conditions), 0.5, 0.0, *[0.0] * len(self.scenes)])

    def predicted(self, at: Values) -> Values:
        of = np.array([self.conditions.index(each.condition) for each in self.students])
        most, half, steepness = np.exp(at[: 3 * len(self.conditions)].reshape(-1, 3)[of].T)
        batch, sharing = at[3 * len(self.conditions) : 3 * len(self.conditions) + 2]
        steps = np.array([each.steps for each in self.students], np.float64)
        images = np.array([each.images for each in self.students]) / steps
        cameras = np.array([each.cameras for each in self.students], np.float64)
        scenes = [self.scenes.index((each.scenario, each.condition)) for each in self.students]
        easy = at[3 * len(self.conditions) + 2 :][scenes]
        taught = steps * images**batch * cameras**-sharing
        return np.asarray(most / (1 + (half / taught) ** steepness) * np.exp(easy))

    def residuals(self, at: Values) -> Values:
        measured = np.array([each.accuracy for each in self.students])
        curves = (at[: 3 * len(self.conditions)].reshape(-1, 3) - _CURVE) / _PRIOR
        batch, sharing = at[3 * len(self.conditions) : 3 * len(self.conditions) + 2]
        scenes = at[3 * len(self.conditions) + 2 :] / _SCENES
        fits = (self.predicted(at) - measured) / NOISE
        return np.concatenate([fits, curves.reshape(-1), [batch - 0.5, sharing], scenes])


def mean_curve(curves: Sequence[LearningCurve]) -> LearningCurve:
    """The curve of a condition of which nothing is known."""
    fields = LearningCurve.model_fields
    return LearningCurve(**{name: round(fmean(getattr(each, name) for each in curves), 4) for name in fields})


def _luck(students: Sequence[TrainedStudent], predicted: Values, curves: dict[str, LearningCurve]) -> float:
    """How far students are from the curve, in logarithms of training, beyond the noise of measuring."""
    spread = []
    for student, expected in zip(students, predicted.tolist(), strict=True):
        curve = curves[student.condition]
        learnt = min(expected / curve.most, 0.95)
        slope = curve.steepness * expected * (1 - learnt)
        noise = NOISE / math.sqrt(student.measured_on)
        off = (student.accuracy - expected) ** 2 - noise**2
        # luck of single micro-windows adds up over those that a student had
        spread.append(off / slope**2 * student.micro_windows)
    return math.sqrt(max(0.0, fmean(spread)))
