"""The triggers of a retraining request: has a camera's data drifted from the data its student learned?"""

from __future__ import annotations

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

    def update(self, t: float, scores: npt.NDArray[np.float32]) -> bool:
        """``scores``: (N,), 0 to 1, of the frame captured at emulated ``t``. True: the data has drifted."""
        ...

    def relearn(self, t: float) -> None:
        """From ``t`` on another student runs, or the job ended: the usual level is learnt anew."""
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

    def update(self, t: float, scores: npt.NDArray[np.float32]) -> bool:
        alarm = self._detector.update(t, frame_confidence(scores))
        self.value = self._detector.statistic
        return alarm

    def relearn(self, t: float) -> None:
        self._detector.reset(t)


class OracleWatch:
    """Knows the world's own condition: for experiments whose result must not depend on drift detection."""

    name = "oracle"

    def __init__(self, condition_at: Callable[[float], str]) -> None:
        self.value = 1.0
        self._condition_at = condition_at
        self._learnt = condition_at(0.0)

    def update(self, t: float, scores: npt.NDArray[np.float32]) -> bool:
        self.value = frame_confidence(scores)  # only for the record; it decides nothing
        return self._condition_at(t) != self._learnt

    def relearn(self, t: float) -> None:
        self._learnt = self._condition_at(t)


def make_watch(drift: DriftSection, condition_at: Callable[[float], str]) -> DriftWatch:
    return OracleWatch(condition_at) if drift.detector == "oracle" else ConfidenceWatch(drift)
