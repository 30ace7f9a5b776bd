"""Running a detector on pictures: inference, non-maximum suppression, boxes back in the pictures' pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ultralytics.nn.tasks import BaseModel
from ultralytics.utils.nms import non_max_suppression

from ecco_emu.core.frames import Image
from ecco_emu.tasks.detection import MAX_DETECTIONS, Detections
from ecco_emu.trainer.backend import MIN_SCORE
from ecco_emu.trainer.yolo.pictures import Letterbox, fitted, stack

_OVERLAP = 0.7
"""IoU above which non-maximum suppression drops the less sure of two boxes; Ultralytics' own default."""
_BATCH = 16


def detect(
    model: BaseModel,
    images: Sequence[Image],
    size: tuple[int, int],
    *,
    min_score: float = MIN_SCORE,
    best_class_only: bool = False,
) -> list[Detections]:
    """The detections of ``model`` in each picture, best first, at most ``MAX_DETECTIONS`` a picture.

    ``images`` are (height, width, 3) uint8 of any sizes, ``size`` is the model's input (width, height). Boxes
    are in the pixels of the given pictures. A box may be reported for several classes, as COCO's metric
    allows, unless ``best_class_only``. Leaves the model in evaluation mode.
    """
    model.eval()
    device = next(model.parameters()).device
    found: list[Detections] = []
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            placed = [fitted(image, size) for image in images[start : start + _BATCH]]
            raw = model(stack([image for image, _ in placed], device))
            kept = non_max_suppression(
                # on the CPU, which takes a quarter of a GPU's time for it (docs/notes/trainer.md)
                (raw[0] if isinstance(raw, tuple) else raw).cpu(),
                conf_thres=min_score,
                iou_thres=_OVERLAP,
                max_det=MAX_DETECTIONS,
                multi_label=not best_class_only,
                max_time_img=10.0,  # the default gives up on a busy machine: results must not depend on load
            )
            found += [_detections(rows.numpy(), fit) for rows, (_, fit) in zip(kept, placed, strict=True)]
    return found


def _detections(rows: np.ndarray[tuple[int, int], np.dtype[np.float32]], fit: Letterbox) -> Detections:
    return Detections(
        boxes=fit.undo(rows[:, :4]),
        scores=rows[:, 4].astype(np.float32),
        classes=rows[:, 5].astype(np.int64),
    )
