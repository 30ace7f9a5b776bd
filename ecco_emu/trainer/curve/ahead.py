"""Looks at several frames of a camera at once, though it asks for one after the other.

A look at one frame costs ten times as much as one of many that are looked at together, and a hundred cameras
look at hundreds of frames a second. A student's detections in a sketch follow from the sketch alone, so
the next ones can be looked at before they are asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from ecco_emu.core.frames import Image
from ecco_emu.tasks.detection import Detections
from ecco_emu.trainer.curve.model import CurveStudent
from ecco_emu.trainer.curve.seeing import Seer
from ecco_emu.world.sketch.picture import Stamp, sketch, stamp_of

FRAMES = 8
"""Frames that are looked at together: two seconds of a camera's drift detection. Those that are still to come
when the camera switches to another student were looked at in vain."""
_LONGEST_STEP = 64
_MOST_CAMERAS = 4096
"""Cameras and students for which frames are kept; the longest unused go first."""

_Asker = tuple[int, str, tuple[int, ...], tuple[int, int] | None, float]
"""All that decides what is found but the frame's number: camera, student, picture's and input's size, least
score."""


@dataclass(slots=True)
class _Known:
    last: int
    """The index that was asked for last."""
    found: dict[int, Detections] = field(default_factory=dict)
    """By index, of frames to come."""


class AheadSeer:
    """Gives the detections that ``Seer`` gives, one frame at a time."""

    def __init__(self, seer: Seer) -> None:
        self._seer = seer
        self._known: OrderedDict[_Asker, _Known] = OrderedDict()

    def detect(
        self, student: CurveStudent, image: Image, size: tuple[int, int] | None, min_score: float
    ) -> Detections:
        """The student's detections in the picture. Raises ``ValueError`` if it is no sketch."""
        stamp = stamp_of(image)
        asker = stamp.camera, student.lineage, image.shape, size, min_score
        known = self._known.setdefault(asker, _Known(stamp.index))
        self._known.move_to_end(asker)
        if len(self._known) > _MOST_CAMERAS:
            self._known.popitem(last=False)
        step, known.last = stamp.index - known.last, stamp.index
        found = known.found.pop(stamp.index, None)
        if found is not None:
            return found
        count = FRAMES if 0 < step <= _LONGEST_STEP else 1
        height, width = image.shape[:2]
        indices = range(stamp.index, stamp.index + count * step, step) if count > 1 else [stamp.index]
        coming = [sketch((width, height), Stamp(stamp.camera, index)) for index in indices[1:]]
        first, *others = self._seer.detect(student, [image, *coming], size, min_score)
        known.found = dict(zip(indices[1:], others, strict=True))
        return first
