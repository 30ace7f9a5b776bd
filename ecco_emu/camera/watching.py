"""Whether what a camera sees has drifted away from what its student learnt. No labels needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ecco_emu.control.drift import DriftDetector, DriftParameters, frame_confidence
from ecco_emu.scenario.sections.drift import DriftSection


class DriftWatch(Protocol):
    """Fed every frame the student looked at; says once when the data has drifted."""

    @property
    def name(self) -> str: ...

    @property
    def value(self) -> float:
        """The newest monitored value, for the record."""
        ...

    def update(self, t: float, scores: npt.NDArray[np.float32]) -> bool: ...

    def relearn(self, t: float) -> None:
        """Another student runs from now: what was normal is learnt again."""
        ...


class ConfidenceWatch:
    """A drop in the student's confidence, found by a change detector (control.drift)."""

    def __init__(self, drift: DriftSection) -> None:
        self.name = drift.detector
        self.value = 1.0
        assert drift.detector != "oracle"
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
    """Looks at the world's own condition: for experiments in which detecting drift must not matter."""

    name = "oracle"

    def __init__(self, condition_at: Callable[[float], str]) -> None:
        self.value = 1.0
        self._condition_at = condition_at
        self._learnt = condition_at(0.0)

    def update(self, t: float, scores: npt.NDArray[np.float32]) -> bool:
        self.value = frame_confidence(scores)
        return self._condition_at(t) != self._learnt

    def relearn(self, t: float) -> None:
        self._learnt = self._condition_at(t)


def make_watch(drift: DriftSection, condition_at: Callable[[float], str]) -> DriftWatch:
    return OracleWatch(condition_at) if drift.detector == "oracle" else ConfidenceWatch(drift)
