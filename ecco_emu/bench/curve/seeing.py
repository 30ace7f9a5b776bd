"""Fits the noise of detections, and the confidence of students, to streams of real detections."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import pairwise
from statistics import fmean
from typing import Self

import numpy as np
from scipy.optimize import brentq, minimize

from ecco_emu.bench.curve.watched import FPS, LEAST_SCORE, SIZE, START_S, WatchedStream
from ecco_emu.control.drift import frame_confidence
from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId
from ecco_emu.scenario import schema
from ecco_emu.tasks.detection import (
    Detections,
    Labels,
    accuracy_over,
    estimate,
    match_frames,
    mean_average_precision,
)
from ecco_emu.trainer.backend import LIVE_MIN_SCORE
from ecco_emu.trainer.curve.fit import CurveFit, Learning, Seeing
from ecco_emu.trainer.curve.model import CurveStudent
from ecco_emu.trainer.curve.noise import Values
from ecco_emu.trainer.curve.seeing import Seer
from ecco_emu.world.sketch.picture import View
from ecco_emu.world.sketch.world import SketchWorld

SEED = 1
SKILLS = (0.0, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
_LEVELS = np.arange(-9.0, 9.1, 1.5)
"""Levels whose mAP is simulated, to find the ones that belong to skills."""
_LEAST, _MOST = -12.0, 16.0
"""Levels at skills 0 and ``_TOP`` while levels are simulated."""
_TOP = 0.99
_THINNED = 8
"""Of a stream's frames, every eighth tells its mean confidence."""
_EVALUATIONS = 70
_STEP = 0.25
"""By which parameters are changed at first."""
_SEARCH_VIEWS = 2
"""Of a student, while noise is searched for."""
_SCENE_FRAMES = 20
_EVERY, _WINDOW = 4, 8
"""A window of eight held-out frames, every fourth one."""
SURE_GAINS = (0.25, 0.35, 0.45, 0.6, 0.8)
"""Values of ``sure_gain`` that are tried."""
_USUAL = 0.7
"""Part of the skill that training tends to, at which a condition's ease is found."""
_LAG = round(FPS)
_OWN = 0.52
"""A student's own noise of a spot over the one that all share. The logits that two students give the same
objects have a correlation of 0.6 (docs/notes/curve.md)."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A camera's frames under one condition."""

    camera: CameraId
    condition: str
    times: tuple[float, ...]
    truth: tuple[Labels, ...]

    @classmethod
    def of(cls, stream: WatchedStream) -> Self:
        times = tuple(START_S + place / FPS for place in range(len(stream.truth)))
        return cls(CameraId(f"view{stream.view}"), stream.condition, times, stream.truth)

    def thinned(self) -> Scene:
        """At most ``_SCENE_FRAMES`` of the frames."""
        step = max(1, len(self.truth) // _SCENE_FRAMES)
        return Scene(self.camera, self.condition, self.times[::step], self.truth[::step])


def scenes_of(worlds: Iterable[tuple[schema.Scenario, SketchWorld]]) -> list[Scene]:
    """The views of these scenarios' cameras, as far as they can be told without pictures."""
    found = []
    for scenario, world in worlds:
        for camera in scenario.cameras:
            name = CameraId(camera.id)
            end = scenario.windows.count * scenario.windows.length
            changes = world.condition_changes(name)
            for change, following in pairwise([*changes, None]):
                assert change is not None
                times = _settled(world, name, change.t, following.t if following else end)
                indices = [round(t * camera.source.fps) for t in times]
                truth = tuple(world.labels(name, index) for index in indices)
                if any(map(len, truth)):
                    found.append(Scene(name, change.condition, tuple(times), truth))
    return found


def _settled(world: SketchWorld, camera: CameraId, start: float, end: float) -> list[float]:
    """Seconds of a stretch in which one condition no longer fades into the other."""
    seconds = [math.ceil(start) + place for place in range(math.floor(end) - math.ceil(start))]
    return [t for t in seconds if world.settled(camera, t)]


@dataclass(frozen=True, slots=True)
class Character:
    """A student's detections as decisions see them, the mean over its views."""

    map: float
    map50: float
    confidence: float
    """Of frames, as drift detection takes it."""
    confidence_sd: float
    correlation: float
    """Of confidences of neighbouring frames, 0.2 s apart."""
    correlation_1s: float
    window_sd: float
    """Standard deviation, from window to window, of mAP on eight held-out frames."""
    error: float
    """Mean standard error of these, by their replicates."""
    f1: float


def character(views: Iterable[tuple[Sequence[Labels], Sequence[Detections]]]) -> Character:
    each = [astuple(_character(truth, found)) for truth, found in views]
    return Character(*(fmean(values) for values in zip(*each, strict=True)))


@dataclass(frozen=True, slots=True)
class SeeingFit:
    learning: Learning
    seeing: Seeing
    real: dict[tuple[str, str], Character]
    """By condition and student."""
    modelled: dict[tuple[str, str], Character]
    """Students of the same accuracy."""


def fit_seeing(
    fit: CurveFit, streams: Sequence[WatchedStream], scenes: Sequence[Scene], progress: Callable[[str], None]
) -> SeeingFit:
    """Noise and confidence from ``streams`` of real detections; levels on ``scenes`` of the sketched world.

    ``fit`` has the learning, and the values that the search begins with.
    """
    groups: defaultdict[tuple[str, str], list[WatchedStream]] = defaultdict(list)
    for each in streams:
        if each.condition == each.own:
            groups[each.own, each.student].append(each)
    real = {name: character((each.truth, each.found) for each in group) for name, group in groups.items()}
    few = {name: group[:_SEARCH_VIEWS] for name, group in groups.items()}
    aims = {name: _roughly((each.truth, each.found) for each in group) for name, group in few.items()}
    on_streams = [Scene.of(each) for group in few.values() for each in group]

    def wrong(at: Values) -> float:
        seeing = with_levels(fit, _at(fit.seeing, at), on_streams)
        model = fit.model_copy(update={"seeing": seeing})
        return math.fsum(
            _distance(
                _roughly(
                    (each.truth, _look(model, Scene.of(each), each.student, aims[name].map)) for each in group
                ),
                aims[name],
            )
            for name, group in few.items()
        )

    progress("fitting noise to the streams")
    start = _start(fit.seeing)
    simplex = np.vstack([start, start + _STEP * np.eye(len(start))])
    found = minimize(
        wrong,
        start,
        method="Nelder-Mead",
        options={"maxfev": _EVALUATIONS, "initial_simplex": simplex},
    )
    progress("fitting levels and confidence")
    fitted = _calibrated(fit, _at(fit.seeing, found.x), scenes)
    fitted = _sure_of_itself(fitted, streams, groups, real)
    modelled = {name: simulate(fitted, group, real[name].map) for name, group in groups.items()}
    return SeeingFit(fitted.learning, fitted.seeing, real, modelled)


def simulate(fit: CurveFit, streams: Sequence[WatchedStream], skill: float) -> Character:
    """A student of this skill on the streams' frames."""
    return character((each.truth, _look(fit, Scene.of(each), each.student, skill)) for each in streams)


def with_levels(fit: CurveFit, seeing: Seeing, scenes: Sequence[Scene]) -> Seeing:
    """Noise with the levels that give students, on the average of these scenes, the mAP that is their
    skill."""
    scale = seeing.model_copy(update={"skills": (0.0, _TOP), "levels": (_LEAST, _MOST)})
    model = fit.model_copy(update={"seeing": scale, "learning": _without_ease(fit.learning)})
    maps = [_map(model, scenes, (level - _LEAST) / (_MOST - _LEAST) * _TOP) for level in _LEVELS.tolist()]
    rising = np.maximum.accumulate(maps) + 1e-6 * np.arange(len(maps))
    reached = [skill for skill in SKILLS if skill <= rising[-1]]
    levels = np.interp(reached, rising, _LEVELS)
    levels[0] = _LEVELS[0]
    return seeing.model_copy(
        update={"skills": tuple(reached), "levels": tuple(round(level, 3) for level in levels.tolist())}
    )


def _calibrated(fit: CurveFit, seeing: Seeing, scenes: Sequence[Scene]) -> CurveFit:
    """Levels on these scenes, and how much easier each condition's are than all of them together."""
    fitted = fit.model_copy(update={"seeing": with_levels(fit, seeing, scenes)})
    conditions = dict(fit.learning.conditions)
    for name, curve in conditions.items():
        own = [scene for scene in scenes if scene.condition == name]
        if own:
            conditions[name] = curve.model_copy(update={"ease": round(_ease(fitted, name, own), 3)})
    return fitted.model_copy(update={"learning": fit.learning.model_copy(update={"conditions": conditions})})


def _ease(fit: CurveFit, condition: str, scenes: Sequence[Scene]) -> float:
    skill = fit.learning.curve(condition).most * _USUAL

    def off(ease: float) -> float:
        curve = fit.learning.curve(condition).model_copy(update={"ease": ease})
        learning = fit.learning.model_copy(update={"conditions": {condition: curve}})
        return _map(fit.model_copy(update={"learning": learning}), scenes, skill) - skill

    low, high = -3.0, 3.0
    return float(brentq(off, low, high, xtol=0.03)) if off(low) < 0 < off(high) else 0.0


def _without_ease(learning: Learning) -> Learning:
    curves = {name: curve.model_copy(update={"ease": 0.0}) for name, curve in learning.conditions.items()}
    return learning.model_copy(update={"conditions": curves})


def _map(fit: CurveFit, scenes: Sequence[Scene], skill: float) -> float:
    """The mean over scenes of a student's mAP."""
    return fmean(
        mean_average_precision(scene.truth, _look(fit, scene, "", skill)).map
        for scene in (each.thinned() for each in scenes)
    )


def _look(fit: CurveFit, scene: Scene, student: str, skill: float) -> list[Detections]:
    def view(image: Image) -> View:
        place = int(image[0, 0, 0])
        t = scene.times[place]
        return View(scene.camera, round(t * FPS), t, {scene.condition: 1.0}, scene.truth[place])

    # the place of a frame is in its first pixel; nothing else of a picture is asked for but its size
    images = [np.full((SIZE[1], SIZE[0], 1), place, np.uint8) for place in range(len(scene.truth))]
    seen = CurveStudent({scene.condition: skill}, student, SIZE)
    return Seer(fit, SEED, view).detect(seen, images, None, LEAST_SCORE)


def _roughly(views: Iterable[tuple[Sequence[Labels], Sequence[Detections]]]) -> Character:
    """Without the standard errors, which take most of the time."""
    each = [astuple(_character(truth, found, errors=False)) for truth, found in views]
    return Character(*(fmean(values) for values in zip(*each, strict=True)))


def _character(truth: Sequence[Labels], found: Sequence[Detections], *, errors: bool = True) -> Character:
    matches = match_frames(truth, found)
    confidence = np.array([_confidence(each) for each in found])
    windows = [
        slice(start, start + _EVERY * _WINDOW, _EVERY)
        for start in range(0, len(matches) - _EVERY * _WINDOW + 1, _EVERY * _WINDOW)
    ]
    values = [each.map for each in map(accuracy_over, (matches[each] for each in windows)) if each.objects]
    estimates = [estimate(matches[each], range(_WINDOW)) for each in windows] if errors else []
    spreads = [_error(each.replicates) for each in estimates if each is not None and each.replicates]
    whole = accuracy_over(matches)
    return Character(
        map=whole.map,
        map50=whole.map50,
        confidence=float(confidence.mean()),
        confidence_sd=float(confidence.std()),
        correlation=_correlation(confidence, 1),
        correlation_1s=_correlation(confidence, _LAG),
        window_sd=float(np.std(values)) if values else 0.0,
        error=fmean(spreads) if spreads else 0.0,
        f1=fmean(each.f1 for each in matches if each.f1 is not None),
    )


def _confidence(found: Detections) -> float:
    return frame_confidence(found.scores[found.scores > LIVE_MIN_SCORE])


def _error(replicates: Sequence[float]) -> float:
    count = len(replicates)
    return math.sqrt((count - 1) * float(np.var(replicates)))


def _correlation(values: Values, lag: int) -> float:
    off = values - values.mean()
    return float((off[lag:] * off[:-lag]).mean() / max(float(off.var()), 1e-12))


# -- the search --

_SEARCHED = ("object_sd", "frame_sd", "scene_sd", "memory_s", "box_error")
"""Parameters that are found by trying, as logarithms."""


def _start(seeing: Seeing) -> Values:
    return np.array([*(math.log(getattr(seeing, name)) for name in _SEARCHED), seeing.clutter_level])


def _at(seeing: Seeing, at: Values) -> Seeing:
    found = {name: round(math.exp(value), 4) for name, value in zip(_SEARCHED, at.tolist(), strict=False)}
    found |= {"clutter_level": round(float(at[-1]), 4), "own_sd": round(_OWN * found["object_sd"], 4)}
    return seeing.model_copy(update=found)


_WEIGHTS = Character(
    map=1 / 0.1,
    map50=1 / 0.1,
    confidence=0.0,
    confidence_sd=0.0,
    correlation=1 / 0.1,
    correlation_1s=1 / 0.15,
    window_sd=1 / 0.25,
    error=0.0,
    f1=0.0,
)
"""One over the differences that are tolerated: of correlations as they are, of all else of logarithms."""


def _distance(model: Character, real: Character) -> float:
    total = 0.0
    for field in fields(Character):
        weight, one, other = (getattr(each, field.name) for each in (_WEIGHTS, model, real))
        if not weight:
            continue
        straight = field.name.startswith("correlation")
        gap = one - other if straight else _ratio(one, other)
        total += min((gap * weight) ** 2, 9.0)  # one student that is unlike all others must not decide
    return total


def _ratio(one: float, other: float) -> float:
    """The logarithm of a ratio; figures of next to nothing count as alike."""
    return math.log(max(one, 1e-3) / max(other, 1e-3))


# -- confidence --


def _sure_of_itself(
    fit: CurveFit,
    streams: Sequence[WatchedStream],
    groups: Mapping[tuple[str, str], Sequence[WatchedStream]],
    real: Mapping[tuple[str, str], Character],
) -> CurveFit:
    """Confidence with the level that students had, and about the deviation. No accuracy depends on it."""
    tried = []
    for gain in SURE_GAINS:
        model = fit.model_copy(update={"seeing": fit.seeing.model_copy(update={"sure_gain": gain})})
        model = model.model_copy(update={"learning": _sure(model, streams, groups, real)})
        ratios = []
        for name, group in groups.items():
            seen = (
                (each.truth, _look(model, Scene.of(each), each.student, real[name].map)) for each in group
            )
            ratios.append(_ratio(_roughly(seen).confidence_sd, real[name].confidence_sd))
        tried.append((abs(fmean(ratios)), model))
    return min(tried, key=lambda each: each[0])[1]


def _sure(
    fit: CurveFit,
    streams: Sequence[WatchedStream],
    groups: Mapping[tuple[str, str], Sequence[WatchedStream]],
    real: Mapping[tuple[str, str], Character],
) -> Learning:
    """The sureness that gives students the confidence that they had, trained and not."""
    first = next(each for each in streams if each.steps == 0).student
    curves = dict(fit.learning.conditions)
    for name, curve in curves.items():
        trained = [
            _shift(fit, group, real[key].map, fmean(_confidences(group)))
            for key, group in groups.items()
            if key[0] == name
        ]
        unseen = [each for each in streams if each.student == first and each.condition == name != each.own]
        sureness = fmean(trained) if trained else curve.sureness
        fooled = _shift(fit, unseen, curve.first, fmean(_confidences(unseen))) if unseen else curve.fooled
        curves[name] = curve.model_copy(update={"sureness": round(sureness, 3), "fooled": round(fooled, 3)})
    return fit.learning.model_copy(update={"conditions": curves})


def _confidences(streams: Sequence[WatchedStream]) -> list[float]:
    return [_confidence(found) for each in streams for found in each.found]


def _shift(fit: CurveFit, streams: Sequence[WatchedStream], skill: float, confidence: float) -> float:
    """The logits that give a student of this skill this mean confidence on the streams' frames."""
    condition = streams[0].condition

    def off(shift: float) -> float:
        curve = fit.learning.curve(condition).model_copy(update={"sureness": shift, "fooled": shift})
        conditions = fit.learning.conditions | {condition: curve}
        learning = fit.learning.model_copy(update={"conditions": conditions})
        model = fit.model_copy(update={"learning": learning})
        modelled = [
            _confidence(found)
            for each in streams
            for found in _look(model, Scene.of(each).thinned(), each.student, skill)
        ]
        return fmean(modelled) - confidence

    low, high = -5.0, 5.0
    if off(low) >= 0:
        return low
    return float(brentq(off, low, high, xtol=0.02)) if off(high) > 0 else high
