"""The cameras' inference with students of the model, in the caller's process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ecco_emu.core.frames import Image
from ecco_emu.core.ids import ModelHash
from ecco_emu.tasks.detection import Detections
from ecco_emu.trainer.backend import LIVE_MIN_SCORE
from ecco_emu.trainer.curve.ahead import AheadSeer
from ecco_emu.trainer.curve.fit import CurveFit
from ecco_emu.trainer.curve.seeing import Seer
from ecco_emu.trainer.curve.student import Students
from ecco_emu.world.sketch.picture import View


class CurveInference:
    """Has the calls of ``trainer.client.InferenceClient``; each returns at once.

    ``view`` gives the content of a sketch, also of a frame that is still to come.
    """

    def __init__(self, *, view: Callable[[Image], View], fit: CurveFit, seed: int) -> None:
        self._students = Students()
        self._seer = Seer(fit, seed, view)
        self._ahead = AheadSeer(self._seer)

    async def start(self) -> None:
        """Nothing has to be started."""

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        """One user more of a student. Raises ``BadStudentError`` for bytes that are none, or of another
        hash."""
        self._students.add(model, weights)

    async def remove_model(self, model: ModelHash) -> None:
        """One user less of a student. Nothing happens if it has none."""
        self._students.remove(model)

    async def detect(
        self,
        model: ModelHash,
        images: Sequence[Image],
        *,
        size: tuple[int, int] | None = None,
        min_score: float = LIVE_MIN_SCORE,
    ) -> list[Detections]:
        """The student's detections in each sketch, best first, boxes in its pixels.

        Raises ``UnknownModelError`` for a student without users, ``ValueError`` for a picture that is no
        sketch.
        """
        student = self._students[model]
        if len(images) == 1:
            return [self._ahead.detect(student, images[0], size, min_score)]
        return self._seer.detect(student, images, size, min_score)

    async def close(self) -> None:
        """Nothing has to be given back."""
