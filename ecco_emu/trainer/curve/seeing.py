"""What a student of the model would report in pictures: boxes and scores, with noise as a real student's.

An object's score comes from its *logit*, a sum of

    the student's level at its skill under the picture's conditions
    + the object's size
    + noise of the view, of the scene, of the spot in the picture, of the student at that spot, of the frame

All but the last noise last: a view's for ever, the others for ``memory_s``. So the accuracies of
neighbouring frames are alike, and two students measured on the same frames share most of their noise, as real
ones do. Clutter is taken for objects too. The surer a detection, the better its box.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecco_emu.core.frames import Image
from ecco_emu.tasks.detection import CLASSES, MAX_DETECTIONS, Detections
from ecco_emu.trainer.curve import noise
from ecco_emu.trainer.curve.fit import Fit
from ecco_emu.trainer.curve.model import CurveStudent, skill_in
from ecco_emu.trainer.curve.noise import Keys, Values
from ecco_emu.world.sketch.picture import View

_COLUMNS, _ROWS = 12, 8
"""Spots of a picture."""
_SLOW = 0.8
"""Part of the standard deviation of clutter's score that lasts; the rest is a frame's own."""
_FAST = math.sqrt(1 - _SLOW**2)

_PLACE, _SCENE, _SPOT, _OBJECT, _CLUTTER, _CLUTTER_FRAME = range(1, 7)
"""What a number is for: two purposes never share one."""


@dataclass(frozen=True, slots=True)
class _Frames:
    """Arrays of one value a frame."""

    common: Keys
    """Of the camera: all students have the same."""
    own: Keys
    """Of the camera and the student."""
    index: npt.NDArray[np.int64]
    knot: npt.NDArray[np.int64]
    """Noise that lasts is drawn at times ``memory_s`` apart; this is the last such time."""
    early: Values
    late: Values
    """Weights of the noise of this knot and of the next one; their squares sum to 1."""
    level: Values
    fooled: Values
    width: Values
    height: Values
    scale: Values
    """From the picture's pixels to those that the student sees, at most 1."""


class Seer:
    """Looks at sketches with students of the model. ``view`` tells what would be seen in one."""

    def __init__(self, fit: Fit, seed: int, view: Callable[[Image], View]) -> None:
        self._fit = fit
        self._seed = seed
        self._view = view
        seeing = fit.seeing
        self._skills, self._levels = np.array(seeing.skills), np.array(seeing.levels)

    def detect(
        self,
        student: CurveStudent,
        images: Sequence[Image],
        size: tuple[int, int] | None,
        min_score: float,
    ) -> list[Detections]:
        """The student's detections in each picture, best first, boxes in its pixels.

        ``size`` is the input's width and height, by default the student's own. Raises ``ValueError`` for a
        picture that is no sketch.
        """
        if not images:
            return []
        views = [self._view(image) for image in images]
        frames = self._frames(student, views, images, size or student.size)
        owner = np.repeat(np.arange(len(views)), [len(each.labels) for each in views])
        boxes, classes, logits = self._objects(frames, owner, views)
        clutter_owner, clutter_boxes, clutter_classes, clutter_logits = self._clutter(frames)
        owner = np.concatenate([owner, clutter_owner])
        logits = np.concatenate([logits, clutter_logits])
        kept = np.flatnonzero(logits > math.log(min_score / (1 - min_score)))
        kept = kept[np.lexsort((-logits[kept], owner[kept]))]
        boxes = np.concatenate([boxes, clutter_boxes])[kept]
        classes = np.concatenate([classes, clutter_classes])[kept]
        scores = (1 / (1 + np.exp(-logits[kept]))).astype(np.float32)
        ends = np.searchsorted(owner[kept], np.arange(len(views) + 1))
        found = []
        for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            part = slice(start, min(end, start + MAX_DETECTIONS))
            found.append(Detections(boxes[part], scores[part], classes[part]))
        return found

    def _frames(
        self, student: CurveStudent, views: Sequence[View], images: Sequence[Image], size: tuple[int, int]
    ) -> _Frames:
        fit, learning = self._fit, self._fit.learning
        skills, fooled = [], []
        for each in views:
            skills.append(skill_in(fit, student.skills, each.conditions))
            fooled.append(0.0)
            for name, part in each.conditions.items():
                curve = learning.curve(name)
                lacking = max(0.0, 1.0 - student.skills.get(name, curve.first) / curve.most)
                fooled[-1] += part * curve.fooled * lacking
        now = np.array([each.t for each in views]) / fit.seeing.memory_s
        knot = np.floor(now)
        phase = (np.pi / 2) * (now - knot)
        shapes = np.array([image.shape[:2] for image in images], np.float64)
        height, width = shapes[:, 0], shapes[:, 1]
        return _Frames(
            common=np.array([noise.key(self._seed, each.camera) for each in views], np.uint64),
            own=np.array([noise.key(self._seed, each.camera, student.lineage) for each in views], np.uint64),
            index=np.array([each.index for each in views], np.int64),
            knot=knot.astype(np.int64),
            early=np.cos(phase),
            late=np.sin(phase),
            level=np.interp(skills, self._skills, self._levels),
            fooled=np.array(fooled),
            width=width,
            height=height,
            scale=np.minimum(1.0, np.minimum(size[0] / width, size[1] / height)),
        )

    def _objects(
        self, frames: _Frames, owner: npt.NDArray[np.int64], views: Sequence[View]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], Values]:
        """Boxes, classes and logits of the objects in all frames."""
        seeing, count, of = self._fit.seeing, len(owner), len(views)
        boxes = np.concatenate([each.labels.boxes for each in views]).astype(np.float64)
        classes = np.concatenate([each.labels.classes for each in views])
        sides = boxes[:, 2:] - boxes[:, :2]
        centres = boxes[:, :2] + sides / 2
        column = (centres[:, 0] * (_COLUMNS / frames.width[owner])).astype(np.int64)
        row = (centres[:, 1] * (_ROWS / frames.height[owner])).astype(np.int64)
        spot = (column * _ROWS + row) * len(CLASSES) + classes
        knot, number = frames.knot[owner], np.arange(count) - np.searchsorted(owner, owner)
        common, own = frames.common[owner], frames.own[owner]
        whole = np.zeros(of, np.int64)
        drawn = noise.normal(
            noise.keys(
                np.concatenate([frames.common, frames.common, frames.common, common, common, own, own]),
                np.concatenate(
                    [
                        _name(_PLACE, whole, whole),
                        _name(_SCENE, whole, frames.knot),
                        _name(_SCENE, whole, frames.knot + 1),
                        *[_name(_SPOT, spot, knot), _name(_SPOT, spot, knot + 1)] * 2,
                    ]
                ),
            )
        )
        place, scene, next_scene = drawn[: 3 * of].reshape(3, of)
        spots = drawn[3 * of :].reshape(4, count)
        early, late = frames.early[owner], frames.late[owner]
        of_frame = frames.level + seeing.place_sd * place
        of_frame += seeing.scene_sd * (frames.early * scene + frames.late * next_scene)
        single = noise.normal(
            noise.keys(
                np.tile(own, 5), _name(_OBJECT, np.arange(5)[:, None] * 256 + number, frames.index[owner])
            )
        ).reshape(5, count)
        size_px = np.sqrt(np.maximum(sides[:, 0] * sides[:, 1], 1.0)) * frames.scale[owner]
        logits = (
            of_frame[owner]
            + seeing.size_gain * np.log(size_px / seeing.size_px)
            + seeing.object_sd * (early * spots[0] + late * spots[1])
            + seeing.own_sd * (early * spots[2] + late * spots[3])
            + seeing.frame_sd * single[0]
        )
        error = seeing.box_error * np.exp(-seeing.box_gain * logits)
        moved = boxes + np.tile(sides, 2) * np.minimum(error, 1.0)[:, None] * single[1:].T
        return _ordered(moved), classes, logits

    def _clutter(
        self, frames: _Frames
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.int64], Values]:
        """Owners, boxes, classes and logits of what is taken for objects in all frames."""
        seeing, of, places = self._fit.seeing, len(frames.level), self._fit.seeing.clutter
        owner = np.repeat(np.arange(of), places)
        place = np.tile(np.arange(places), of)
        own, knot = frames.own[owner], frames.knot[owner]
        names = noise.keys(
            np.tile(own, 7),
            np.concatenate(
                [
                    _name(_CLUTTER, place, knot),
                    _name(_CLUTTER, place, knot + 1),
                    _name(_CLUTTER_FRAME, place, frames.index[owner]),
                    # a place stays for as long as its score does
                    *(_name(_CLUTTER, place + part * 256, knot) for part in range(1, 5)),
                ]
            ),
        )
        count = len(owner)
        score, next_score, single = noise.normal(names[: 3 * count]).reshape(3, count)
        x, y, size, cls = noise.uniform(names[3 * count :]).reshape(4, count)
        lasting = frames.early[owner] * score + frames.late[owner] * next_score
        level = seeing.clutter_level + seeing.clutter_gain * (frames.level - self._levels[-1])
        logits = (level + frames.fooled)[owner] + seeing.clutter_sd * (_SLOW * lasting + _FAST * single)
        side = seeing.size_px * np.exp(size - 0.5) / frames.scale[owner] / 2
        x, y = x * frames.width[owner], y * frames.height[owner]
        boxes = np.stack([x - side, y - side, x + side, y + side], axis=1).astype(np.float32)
        return owner, boxes, (cls * len(CLASSES)).astype(np.int64), logits


def _name(purpose: int, what: npt.NDArray[np.integer], when: npt.NDArray[np.integer]) -> Keys:
    """The number of a noise: its purpose, an object or spot (below 2^24), a frame or knot (below 2^32)."""
    names: Keys = ((purpose << 56) | (what.astype(np.int64) << 32) | when).astype(np.uint64).reshape(-1)
    return names


def _ordered(boxes: Values) -> npt.NDArray[np.float32]:
    """Boxes whose corners are in order, whatever was added to them."""
    low, high = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    return np.concatenate([low, high], axis=1).astype(np.float32)
