"""What a student of the model would report in pictures: boxes and scores, with noise as a real student's.

An object's score comes from its *logit*, a sum of

    the level that belongs to the student's skill under the picture's conditions
    + the object's size and class
    + noise of the view, of the scene, of the spot in the picture, of the student at that spot, of the frame

All but the last noise last: a view's for ever, the others for ``memory_s``. So the accuracies of
neighbouring frames are alike, and two students measured on the same frames share most of their noise, as real
ones do. Clutter is taken for objects too. The surer a detection, the better its box. At last all scores of a
picture are moved by its condition's ``sureness``: that changes confidence, and no accuracy.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId
from ecco_emu.tasks.detection import CLASSES, MAX_DETECTIONS, Detections, Labels
from ecco_emu.trainer.curve import noise
from ecco_emu.trainer.curve.fit import Fit, Learning, Seeing
from ecco_emu.trainer.curve.model import CurveStudent, Skills, familiar_skill, skill_in
from ecco_emu.trainer.curve.noise import Values
from ecco_emu.world.sketch.picture import View

_COLUMNS, _ROWS = 12, 8
_SPOTS = 509
"""Spots of a picture, by column, row and class, and some to spare: a number modulo which spots are told."""
_FIRST_CLUTTER = 512
"""Where clutter's numbers begin in a run of noise, after those of all spots."""
_MOST_OBJECTS = 256
"""Objects of a frame with noise of their own."""
_OF_OBJECT = np.arange(5)[:, None]
"""An object's own noise in a frame: of its score, and of its box's edges."""
_AFTER_OBJECTS = _MOST_OBJECTS * len(_OF_OBJECT)
_WORST_BOX, _WORST_EDGE = 0.24, 2.0
"""Largest relative error of an edge, in standard deviations and at most: a box's corners stay in order."""
_SLOW = 0.8
"""Part of the standard deviation of clutter's score that lasts; the rest is a frame's own."""
_FAST = math.sqrt(1 - _SLOW**2)
_OFTEN = 0.618, 0.755
"""Steps from one place of clutter to the next, in parts of a picture: so they are spread evenly."""


NOTHING_DRAWN: Mapping[tuple[CameraId, int], int] = MappingProxyType({})

Each = TypeVar("Each", float, Values)


class _Frame(NamedTuple, Generic[Each]):
    """The numbers that a frame's detections are made from: of one frame, or arrays of them."""

    width: Each
    height: Each
    level: Each
    """Mean logit of an object of the usual size."""
    clutter: Each
    """Mean logit of clutter."""
    sureness: Each
    scale: Each
    """From the picture's pixels to those that the student sees, at most 1."""
    early: Each
    late: Each
    """Weights of the noise of the last and of the next of the times that are ``memory_s`` apart; their
    squares sum to 1."""
    scene: Each
    next_scene: Each
    """Where the noise that all students share begins."""
    own: Each
    next_own: Each
    """The same of the student's own."""
    single: Each
    """The same of the frame's."""
    shift_x: Each
    shift_y: Each
    """By how much of the picture clutter is moved."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Arrays of one value a detection."""

    owner: npt.NDArray[np.int64]
    """The frame that it is in."""
    boxes: Values
    """(4, N)."""
    classes: npt.NDArray[np.int64]
    logits: Values


class Seer:
    """Looks at sketches with students of the model. ``view`` tells what would be seen in one."""

    def __init__(self, fit: Fit, seed: int, view: Callable[[Image], View]) -> None:
        self._fit = fit
        self._seed = seed
        self._view = view
        self._normals = noise.normals()
        seeing = fit.seeing
        self._class_logits = np.array([seeing.class_logits.get(name, 0.0) for name in CLASSES])
        places = np.arange(seeing.clutter)
        self._clutter_spread = np.outer(_OFTEN, places)
        self._clutter_classes = places % len(CLASSES)

    def detect(
        self,
        student: CurveStudent,
        images: Sequence[Image],
        size: tuple[int, int] | None,
        min_score: float,
        draws: Mapping[tuple[CameraId, int], int] = NOTHING_DRAWN,
    ) -> list[Detections]:
        """The student's detections in each picture, best first, boxes in its pixels.

        ``size`` is the input's width and height, by default the student's own. ``draws`` says how often a
        frame, by camera and index, was trained on. Raises ``ValueError`` for a
        picture that is no sketch.
        """
        if not images:
            return []
        seeing = self._fit.seeing
        views = [self._view(image) for image in images]
        rows = [
            self._frame(student, view, image, size or student.size, draws.get((view.camera, view.index), 0))
            for view, image in zip(views, images, strict=True)
        ]
        frames = np.array(rows).T
        objects, clutter = self._objects(frames, [each.labels for each in views]), self._clutter(frames)
        owner = np.concatenate([objects.owner, clutter.owner])
        logits = np.concatenate([objects.logits, clutter.logits])
        logits = np.where(logits > 0, seeing.sure_gain * logits, logits)
        kept = np.flatnonzero(logits > math.log(min_score / (1 - min_score)))
        order = kept[np.lexsort((-logits[kept], owner[kept]))]
        boxes = np.concatenate([objects.boxes, clutter.boxes], axis=1)[:, order].T.astype(np.float32)
        classes = np.concatenate([objects.classes, clutter.classes])[order]
        scores = (1 / (1 + np.exp(-logits[order]))).astype(np.float32)
        ends = np.searchsorted(owner[order], np.arange(len(views) + 1)).tolist()
        parts = [slice(start, min(end, start + MAX_DETECTIONS)) for start, end in pairwise(ends)]
        return [Detections(boxes[part], scores[part], classes[part]) for part in parts]

    def _frame(
        self, student: CurveStudent, view: View, image: Image, size: tuple[int, int], draws: int
    ) -> _Frame[float]:
        seeing, learning, normals = self._fit.seeing, self._fit.learning, self._normals
        height, width = image.shape[:2]
        passed, since = divmod(view.t, seeing.memory_s)
        knot, phase = int(passed), since / seeing.memory_s * (math.pi / 2)
        early, late = math.cos(phase), math.sin(phase)
        common = noise.key(self._seed, view.camera)
        own = noise.key(self._seed, view.camera, student.lineage)
        # even numbers for times and odd ones for frames; number -1 is the view's own
        scene, next_scene = noise.place(common, 2 * knot), noise.place(common, 2 * knot + 2)
        skill = skill_in(learning, student.skills, view.conditions)
        if draws:
            skill = familiar_skill(learning, skill, view.conditions, draws)
        level = level_of(seeing, skill)
        level += sum(part * learning.curve(name).ease for name, part in view.conditions.items())
        level += seeing.place_sd * float(normals[noise.place(common, -1)])
        level += seeing.scene_sd * float(early * normals[scene] + late * normals[next_scene])
        return _Frame(
            width=width,
            height=height,
            level=level,
            clutter=seeing.clutter_level + seeing.clutter_gain * level,
            sureness=sureness(learning, student.skills, view.conditions),
            scale=min(1.0, size[0] / width, size[1] / height),
            early=early,
            late=late,
            scene=scene,
            next_scene=next_scene,
            own=noise.place(own, 2 * knot),
            next_own=noise.place(own, 2 * knot + 2),
            single=noise.place(own, 2 * view.index + 1),
            shift_x=own % 1009 / 1009,
            shift_y=own % 1013 / 1013,
        )

    def _objects(self, frames: Values, labels: Sequence[Labels]) -> _Seen:
        """The objects in all frames."""
        seeing, normals = self._fit.seeing, self._normals
        counts = [len(each) for each in labels]
        owner = np.repeat(np.arange(len(labels)), counts)
        of: _Frame[Values] = _Frame(*frames[:, owner])
        number = np.concatenate([_NUMBERS[:count] for count in counts])
        boxes = np.concatenate([each.boxes for each in labels]).T.astype(np.float64)
        classes = np.concatenate([each.classes for each in labels])
        left, top, right, bottom = boxes
        width, height = right - left, bottom - top
        column = ((left + right) / of.width * (_COLUMNS / 2)).astype(np.int64)
        row = ((top + bottom) / of.height * (_ROWS / 2)).astype(np.int64)
        spot = ((column * _ROWS + row) * len(CLASSES) + classes) % _SPOTS + 1
        single = normals[_index(of.single) + len(_OF_OBJECT) * number + _OF_OBJECT]
        scale = of.scale / seeing.size_px
        logits = (
            of.level
            + self._class_logits[classes]
            + seeing.size_gain / 2 * np.log(np.maximum(width * height * scale * scale, 1e-4))
            + seeing.object_sd * _lasting(normals, of, of.scene, of.next_scene, spot)
            + seeing.own_sd * _lasting(normals, of, of.own, of.next_own, spot)
            + seeing.frame_sd * single[0]
        )
        error = np.minimum(seeing.box_error * np.exp(-seeing.box_gain * logits), _WORST_BOX)
        edges = np.minimum(np.maximum(single[1:], -_WORST_EDGE), _WORST_EDGE) * error
        moved = boxes + edges * np.stack([width, height, width, height])
        return _Seen(owner, moved, classes, logits + of.sureness)

    def _clutter(self, frames: Values) -> _Seen:
        """The places in all frames that are taken for objects."""
        seeing, normals = self._fit.seeing, self._normals
        of, places = frames.shape[1], np.arange(seeing.clutter)
        each: _Frame[Values] = _Frame(*frames[:, :, None])  # (F, 1) beside places, (P,)
        at = _FIRST_CLUTTER + places
        logits = (
            each.clutter
            + each.sureness
            + seeing.clutter_sd
            * (
                _SLOW * _lasting(normals, each, each.own, each.next_own, at)
                + _FAST * normals[_index(each.single) + _AFTER_OBJECTS + places]
            )
        )
        x = (self._clutter_spread[0] + each.shift_x) % 1.0 * each.width
        y = (self._clutter_spread[1] + each.shift_y) % 1.0 * each.height
        half = seeing.size_px / 2 / each.scale
        boxes = np.stack([x - half, y - half, x + half, y + half]).reshape(4, -1)
        owner = np.repeat(np.arange(of), seeing.clutter)
        return _Seen(owner, boxes, np.tile(self._clutter_classes, of), logits.reshape(-1))


def level_of(seeing: Seeing, skill: float) -> float:
    """The mean logit of an object of the usual size, for a student of this skill."""
    skills, levels = seeing.skills, seeing.levels
    place = min(max(bisect.bisect_right(skills, skill), 1), len(skills) - 1)
    part = (skill - skills[place - 1]) / (skills[place] - skills[place - 1])
    return levels[place - 1] + part * (levels[place] - levels[place - 1])


def sureness(learning: Learning, skills: Skills, conditions: Mapping[str, float]) -> float:
    """Between that of a student without skill and that of a trained one, by how much it has learnt."""
    total = 0.0
    for name, part in conditions.items():
        curve = learning.curve(name)
        learnt = min(1.0, skills.get(name, curve.first) / curve.most)
        total += part * (curve.fooled + (curve.sureness - curve.fooled) * learnt)
    return total


_NUMBERS = np.arange(10_000) % _MOST_OBJECTS


def _index(places: Values) -> npt.NDArray[np.int64]:
    """Places in the table came through an array of floats, which holds them exactly."""
    return places.astype(np.int64)


def _lasting(
    normals: Values, of: _Frame[Values], last: Values, following: Values, at: npt.NDArray[np.int64]
) -> Values:
    """Noise that lasts, standard normal."""
    both: Values = of.early * normals[_index(last) + at] + of.late * normals[_index(following) + at]
    return both
