"""The triggers of a retraining request: has a camera's data drifted from the data its student learned?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ecco_emu.control.drift import DriftDetector, DriftParameters, frame_confidence
from ecco_emu.scenario.sections.drift import DriftSection


class DriftWatch(Protocol):
    """Takes the scores of every frame that the student looked at, and says when the data has drifted."""

    @property
    def name(self) -> str: ...

    @property
    def value(self) -> float:
        """The newest monitored value, for the record."""
        ...

    @property
    def since(self) -> float:
        """When the last drift began, in emulated seconds; NaN before the first."""
        ...

    @property
    def lasts(self) -> bool:
        """Whether the last drift goes on: the student still does not fit."""
        ...

    def update(self, t: float, scores: npt.NDArray[np.float32]) -> bool:
        """``scores``: (N,), 0 to 1, of the frame captured at emulated ``t``. True: the data has drifted."""
        ...

    def answered(self, t: float) -> None:
        """The server took the camera's request up."""
        ...

    def over(self, t: float) -> None:
        """The camera gives its request up: the drift does not last."""
        ...

    def switch(self, t: float) -> None:
        """From ``t`` on another student runs, and the usual level is learnt anew.

        But a drift that the server has not taken up, or that is only suspected yet, stays: the server trained
        this student without knowing of it.
        """
        ...

    def relearn(self, t: float) -> None:
        """The job ended at ``t``: what the student sees from then on is usual."""
        ...


class ConfidenceWatch:
    """Notices a fall of the student's confidence with a change detector (``control.drift``)."""

    def __init__(self, drift: DriftSection) -> None:
        self.name = drift.detector
        self.value = 1.0
        assert drift.detector != "oracle"
        # A fall without a suspicion must not be confirmed sooner than one with it.
        defaults = DriftParameters()
        self._detector = DriftDetector(
            drift.detector,
            replace(defaults, confirm_s=drift.confirm, insist_s=max(defaults.insist_s, drift.confirm)),
        )

    @property
    def since(self) -> float:
        return self._detector.onset

    @property
    def lasts(self) -> bool:
        return self._detector.low

    def update(self, t: float, scores: npt.NDArray[np.float32]) -> bool:
        alarm = self._detector.update(t, frame_confidence(scores))
        self.value = self._detector.statistic
        return alarm

    def answered(self, t: float) -> None:
        self._detector.answered(t)

    def over(self, t: float) -> None:
        self._detector.resume(t)

    def switch(self, t: float) -> None:
        self._detector.switch(t)

    def relearn(self, t: float) -> None:
        self._detector.reset(t)


class OracleWatch:
    """Knows the world's own condition: for experiments whose result must not depend on drift detection.

    It speaks once a new condition has settled. Frames from the time in which it fades in show neither the old
    condition nor the new one, and a student that still half fits them would look better than it is.
    """

    name = "oracle"

    def __init__(self, condition_at: Callable[[float], str], settled: Callable[[float], bool]) -> None:
        self.value = 1.0
        self.since = math.nan
        self._condition_at = condition_at
        self._settled = settled
        self._learnt = self._seen = condition_at(0.0)
        self._answered = True

    @property
    def lasts(self) -> bool:
        return self._seen != self._learnt

    def update(self, t: float, scores: npt.NDArray[np.float32]) -> bool:
        self.value = frame_confidence(scores)  # only for the record; it decides nothing
        condition = self._condition_at(t)
        if condition == self._seen or not self._settled(t):
            return False
        self._seen, self.since = condition, t
        self._answered = not self.lasts
        return self.lasts

    def answered(self, t: float) -> None:
        self._answered = True

    def over(self, t: float) -> None:
        self._answered = True

    def switch(self, t: float) -> None:
        if self._answered:
            self.relearn(t)

    def relearn(self, t: float) -> None:
        # Not the condition at ``t``: it may have begun a moment ago, and nobody was told of it yet.
        self._learnt = self._seen


def make_watch(
    drift: DriftSection, condition_at: Callable[[float], str], settled: Callable[[float], bool]
) -> DriftWatch:
    """``condition_at`` and ``settled`` are the world's, for one camera; only the oracle asks them."""
    return OracleWatch(condition_at, settled) if drift.detector == "oracle" else ConfidenceWatch(drift)
