"""Object detection: its classes, labels and detections, and the accuracy of one against the other.

Accuracy is COCO's mAP, by faster-coco-eval. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId

CLASSES: tuple[str, ...] = ("car", "truck", "pedestrian")
"""Detection classes, in the order of a student's outputs. Labels and detections hold their indices."""

COCO_CLASSES: Mapping[str, int] = {
    "car": CLASSES.index("car"),
    "truck": CLASSES.index("truck"),
    "person": CLASSES.index("pedestrian"),
}
"""The same classes by their names in COCO, for models trained on COCO. Its other classes become no labels."""

MAX_DETECTIONS = 100
"""Detections of an image beyond the best hundred are not counted, as in COCO."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The true objects of a frame: boxes in pixels of that frame.

    ``boxes`` is (N, 4) float32 as x1, y1, x2, y2; ``classes`` is (N,) int64 into ``CLASSES``.
    """

    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.classes)

    def names(self) -> list[str]:
        """The class name of every object, in order."""
        return [CLASSES[number] for number in self.classes.tolist()]

    def scaled(self, factor_x: float, factor_y: float) -> Labels:
        """The same labels for the frame resized by these factors."""
        scale = np.array([factor_x, factor_y, factor_x, factor_y], dtype=np.float32)
        return Labels(self.boxes * scale, self.classes)

    @staticmethod
    def empty() -> Labels:
        return Labels(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The objects that a detector found in a picture, in the picture's pixels.

    ``boxes`` is (N, 4) float32 as x1, y1, x2, y2; ``scores`` is (N,) float32, confidences in 0..1;
    ``classes`` is (N,) int64 into ``CLASSES``.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A frame with the teacher's labels, ready to train on or to evaluate with.

    ``index`` counts the camera's frame clock, ``t`` is the emulated second of capture, ``image`` is
    (height, width, 3) RGB uint8, and the labels' boxes are in its pixels.
    """

    camera: CameraId
    index: int
    t: float
    image: Image
    labels: Labels


@dataclass(frozen=True, slots=True)
class DetectionAccuracy:
    """mAP at IoU 0.50:0.95 (``map``) and at 0.5 (``map50``), over ``objects`` true objects.

    Averages run over the classes that occur in the truth. Without any true object both are 0.0 and
    ``objects`` is 0, so that a caller can tell "nothing was there" from "nothing was found".
    """

    map: float
    map50: float
    objects: int


def mean_average_precision(truth: Sequence[Labels], found: Sequence[Detections]) -> DetectionAccuracy:
    """mAP of ``found`` (one per image) against ``truth`` (one per image, same order).

    Boxes of one image must be in the same pixels. Raises ``ValueError`` if the lengths differ.
    """
    if len(truth) != len(found):
        raise ValueError(f"{len(truth)} images have labels but {len(found)} have detections")
    objects = sum(len(labels) for labels in truth)
    if objects == 0 or not any(len(detections) for detections in found):
        return DetectionAccuracy(0.0, 0.0, objects)
    precision = _precision(truth, found)
    return DetectionAccuracy(_mean(precision), _mean(precision[0]), objects)


def load_metric() -> tuple[Any, Any]:
    """Imports faster-coco-eval, and returns its data set's and its evaluation's class.

    The import takes 0.3 s. Cameras and renderers need labels but not the metric, so it is not at this
    module's top; a process that must not stall later calls this when it starts.
    """
    from faster_coco_eval import COCO
    from faster_coco_eval.core.faster_eval_api import COCOeval_faster

    return COCO, COCOeval_faster


def _precision(truth: Sequence[Labels], found: Sequence[Detections]) -> npt.NDArray[np.float64]:
    """COCO's precision table: IoU thresholds x recalls x classes, -1 where a class never occurs."""
    COCO, COCOeval_faster = load_metric()  # noqa: N806 - classes
    coco = COCO(_dataset(truth))
    evaluation = COCOeval_faster(coco, coco.loadRes(_results(found)), iouType="bbox", print_function=_silent)
    evaluation.params.maxDets = [MAX_DETECTIONS]
    evaluation.params.areaRng = [[0, 1e10]]  # one range for all sizes: COCO's small/medium/large go unused
    evaluation.params.areaRngLbl = ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    table: npt.NDArray[np.float64] = np.asarray(evaluation.eval["precision"])
    return table[:, :, :, 0, 0]


def _mean(precision: npt.NDArray[np.float64]) -> float:
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else 0.0


def _dataset(truth: Sequence[Labels]) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for image, labels in enumerate(truth, start=1):
        for box, cls in zip(_xywh(labels.boxes), labels.classes.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,  # from 1: COCO takes id 0 for "unmatched"
                    "image_id": image,
                    "category_id": cls + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    return {
        "images": [{"id": image} for image in range(1, len(truth) + 1)],
        "annotations": annotations,
        "categories": [{"id": cls + 1, "name": name} for cls, name in enumerate(CLASSES)],
    }


def _results(found: Sequence[Detections]) -> list[dict[str, Any]]:
    return [
        {"image_id": image, "category_id": cls + 1, "bbox": box, "score": score}
        for image, detections in enumerate(found, start=1)
        for box, cls, score in zip(
            _xywh(detections.boxes), detections.classes.tolist(), detections.scores.tolist(), strict=True
        )
    ]


def _xywh(boxes: npt.NDArray[np.float32]) -> list[list[float]]:
    corners = boxes.astype(np.float64).reshape(-1, 4)
    return np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]).tolist()  # type: ignore[no-any-return]


def _silent(*_: object) -> None:
    """Drops the progress that faster-coco-eval prints, because stdout belongs to the command line."""
