"""The detections of the model's students in pictures: boxes and scores, with noise as a real student's.

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
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId
from ecco_emu.tasks.detection import CLASSES, MAX_DETECTIONS, Detections, Labels
from ecco_emu.trainer.curve import noise
from ecco_emu.trainer.curve.fit import CurveFit, Learning, Seeing
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
_LEAST_AREA = 1e-4
_WORST_BOX, _WORST_EDGE = 0.24, 2.0
"""Largest relative error of an edge, in standard deviations and at most: a box's corners stay in order."""
_SLOW = 0.8
"""Part of the standard deviation of clutter's score that lasts; the rest is a frame's own."""
_FAST = math.sqrt(1 - _SLOW**2)
_OFTEN = 0.618, 0.755
"""Steps from one place of clutter to the next, in parts of a picture: so they are spread evenly."""


NOTHING_DRAWN: Mapping[tuple[CameraId, int], int] = MappingProxyType({})

Each = TypeVar("Each")


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


class _Seen(NamedTuple):
    """Arrays of one value a detection, frame after frame."""

    boxes: Values
    """(4, N)."""
    classes: npt.NDArray[np.int64]
    logits: Values


class Seer:
    """Looks at sketches with students of the model. ``view`` gives the content of one."""

    def __init__(self, fit: CurveFit, seed: int, view: Callable[[Image], View]) -> None:
        self._fit = fit
        self._seed = seed
        self._view = view
        self._normals = noise.normals()
        seeing = fit.seeing
        self._class_logits = np.array([seeing.class_logits.get(name, 0.0) for name in CLASSES])
        places = np.arange(seeing.clutter)
        self._clutter_runs = _FIRST_CLUTTER + places
        self._clutter_singles = _AFTER_OBJECTS + places
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
        labels = [each.labels for each in views]
        counts = [len(each) for each in labels]
        objects, clutter = self._objects(rows, labels, counts), self._clutter(rows)
        logits = np.concatenate([objects.logits, clutter.logits])
        logits = np.where(logits > 0, seeing.sure_gain * logits, logits)
        kept = np.flatnonzero(logits > math.log(min_score / (1 - min_score)))
        owner = np.repeat(np.tile(np.arange(len(rows)), 2), [*counts, *[seeing.clutter] * len(rows)])[kept]
        order = np.lexsort((-logits[kept], owner))
        kept = kept[order]
        boxes = np.concatenate([objects.boxes, clutter.boxes], axis=1)[:, kept].T.astype(np.float32)
        classes = np.concatenate([objects.classes, clutter.classes])[kept]
        scores = (1 / (1 + np.exp(-logits[kept]))).astype(np.float32)
        ends = np.searchsorted(owner[order], np.arange(len(rows) + 1)).tolist()
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

    def _objects(self, rows: Sequence[_Frame[Any]], labels: Sequence[Labels], counts: Sequence[int]) -> _Seen:
        """The objects in all frames."""
        seeing, normals = self._fit.seeing, self._normals
        of = _columns(rows, lambda column: np.repeat(column, counts))
        number = _NUMBERS[: counts[0]] if len(counts) == 1 else np.concatenate([_NUMBERS[:n] for n in counts])
        boxes = np.concatenate([each.boxes for each in labels]).T.astype(np.float64)
        classes = np.concatenate([each.classes for each in labels])
        low, high = boxes[:2], boxes[2:]
        sides, middles = high - low, low + high
        column = (middles[0] * (_COLUMNS / 2 / of.width)).astype(np.int64)
        row = (middles[1] * (_ROWS / 2 / of.height)).astype(np.int64)
        spot = ((column * _ROWS + row) * len(CLASSES) + classes) % _SPOTS + 1
        single = normals[len(_OF_OBJECT) * number + of.single + _OF_OBJECT]
        area = np.maximum(sides[0] * sides[1] * (of.scale / seeing.size_px) ** 2, _LEAST_AREA)
        logits = (
            of.level
            + self._class_logits[classes]
            + seeing.size_gain / 2 * np.log(area)
            + seeing.object_sd * _lasting(normals, of, of.scene, of.next_scene, spot)
            + seeing.own_sd * _lasting(normals, of, of.own, of.next_own, spot)
            + seeing.frame_sd * single[0]
        )
        error = np.minimum(seeing.box_error * np.exp(-seeing.box_gain * logits), _WORST_BOX)
        edges = np.minimum(np.maximum(single[1:], -_WORST_EDGE), _WORST_EDGE)
        boxes += (edges.reshape(2, 2, -1) * (sides * error)).reshape(4, -1)
        return _Seen(boxes, classes, logits + of.sureness)

    def _clutter(self, rows: Sequence[_Frame[Any]]) -> _Seen:
        """The places in all frames that are taken for objects."""
        seeing, normals = self._fit.seeing, self._normals
        of = _columns(rows, lambda column: column[:, None])  # beside places, which are the last axis
        lasting = _lasting(normals, of, of.own, of.next_own, self._clutter_runs)
        fleeting = normals[of.single + self._clutter_singles]
        logits = seeing.clutter_sd * (_SLOW * lasting + _FAST * fleeting) + (of.clutter + of.sureness)
        x = (self._clutter_spread[0] + of.shift_x) % 1.0 * of.width
        y = (self._clutter_spread[1] + of.shift_y) % 1.0 * of.height
        half = seeing.size_px / 2 / of.scale
        boxes = np.array([x - half, y - half, x + half, y + half]).reshape(4, -1)
        return _Seen(boxes, np.tile(self._clutter_classes, len(rows)), logits.reshape(-1))


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


def _columns(rows: Sequence[_Frame[Any]], spread: Callable[[Values], Values]) -> _Frame[Any]:
    """The frames' numbers as arrays, each spread over its frame's detections; of a single frame as they
    are, which saves a camera that looks at one frame a third of the time."""
    if len(rows) == 1:
        return rows[0]
    return _Frame(*(spread(np.array(column)) for column in zip(*rows, strict=True)))


def _lasting(
    normals: Values, of: _Frame[Any], last: Any, following: Any, at: npt.NDArray[np.int64]
) -> Values:
    """Noise that lasts, standard normal."""
    both: Values = of.early * normals[last + at] + of.late * normals[following + at]
    return both
