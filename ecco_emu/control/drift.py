"""When a camera asks for retraining: label-free drift detection on its student's own confidence.

A student that no longer fits the scene is less sure of fewer objects, so a fall of its confidence is
taken for drift. Three change detectors of the river library are offered. Each alone is jumpy on such
streams, so its alarm only raises a suspicion, which must be confirmed by something a person can check:

    WARM_UP --enough values--> WATCHING --river's alarm--> SUSPECT --low for confirm_s--> ALARMED
                                 |   ^------ not low, for suspect_s -----/                   ^
                                 +---------------------- low for insist_s -------------------+

"Low" means that the mean of the last ``recent_s`` seconds is below the reference by a margin. River's
detectors have short memories and can miss a fall that is plain to see a moment later, so a fall that
lasts ``insist_s`` needs no suspicion. And a fall that is just over, though the recent mean still remembers
it, is none: the very last values must be low too. The reference is the usual level since the last
``reset``; it stands still while the values are low or suspect, so that a drift cannot talk it down. A rise
is never drift. After an alarm nothing more is said until ``reset``, which the camera calls when it begins
to run a new student, or until ``rearm_s`` have passed.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

DetectorName = Literal["page-hinkley", "adwin", "kswin"]


def frame_confidence(scores: npt.NDArray[np.float32], top: int = 5) -> float:
    """One frame's confidence: the mean of its ``top`` highest detection scores, of all if fewer, 0 if none.

    The top few, because how many objects pass by says little of the student, and a long tail of
    doubtful boxes would pull every frame to the detection threshold. ``scores`` is (N,), 0 to 1.
    """
    if len(scores) == 0:
        return 0.0
    return float(np.sort(scores)[-top:].mean())


class ChangeTest(Protocol):
    """What a river detector offers: feed a value, ask whether it sees a change now."""

    drift_detected: bool

    def update(self, x: float) -> Any: ...


@dataclass(frozen=True, slots=True)
class DriftParameters:
    """Times are emulated seconds, values confidences in [0, 1]; tuned for about 4 values a second."""

    warm_up_s: float = 4.0
    """Least time to learn the reference in after a reset."""
    warm_up_values: int = 10
    """Least number of values to learn the reference from."""
    cooldown_s: float = 0.5
    """After a reset, values are ignored for this long: frames of the old student may be among them."""
    recent_s: float = 2.0
    """What "recent" means."""
    margin: float = 0.1
    """How far below the reference the recent mean is low."""
    margin_errors: float = 3.0
    """The same in standard errors of the two means' difference; the larger margin counts."""
    margin_most: float = 0.4
    """But no noise makes a margin larger than this fraction of the reference: near 0 is always low."""
    confirm_s: float = 1.0
    """How long values must be low before the alarm."""
    insist_s: float = 5.0
    """Values low for this long are drift even if the change test never spoke; at least ``confirm_s``."""
    suspect_s: float = 2.0
    """A suspicion is dropped after this long with the recent mean within half the margin."""
    memory_s: float = 60.0
    """Time constant of the reference."""
    rearm_s: float = 60.0
    """An alarm nobody reacted to is forgotten after this long, and the reference learnt anew."""

    def __post_init__(self) -> None:
        if min(self.recent_s, self.memory_s, self.rearm_s) <= 0 or self.warm_up_values < 2:
            raise ValueError("recent_s, memory_s and rearm_s must be positive and warm_up_values at least 2")
        not_negative = (
            *(self.warm_up_s, self.cooldown_s, self.confirm_s, self.insist_s, self.suspect_s),
            *(self.margin, self.margin_errors, self.margin_most),
        )
        if any(value < 0 for value in not_negative):
            raise ValueError("times and margins must not be negative")


class Phase(Enum):
    WARM_UP = auto()
    WATCHING = auto()
    SUSPECT = auto()
    ALARMED = auto()


class DriftDetector:
    """Feed it ``update(t, value)``; it answers True once per drift."""

    def __init__(
        self, name: DetectorName = "page-hinkley", parameters: DriftParameters | None = None
    ) -> None:
        self.name = name
        self.parameters = parameters or DriftParameters()
        self.reset(-math.inf)

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def reference(self) -> float:
        """The level taken for usual (NaN before the first value)."""
        return self._mean if self._count else math.nan

    @property
    def statistic(self) -> float:
        """The mean of the recent values (NaN before the first)."""
        return self._mean_since(-math.inf) if self._recent else math.nan

    @property
    def correlation(self) -> float:
        """Of neighbouring values, as learnt with the reference; 0 to 0.9."""
        if self._variance <= 0.0:
            return 0.0
        return min(0.9, max(0.0, self._covariance / self._variance))

    def reset(self, t: float) -> None:
        """A new student runs since ``t``: what was usual is forgotten."""
        self._phase = Phase.WARM_UP
        self._test = make_change_test(self.name)
        self._ignore_until = t + self.parameters.cooldown_s
        self._began: float | None = None
        self._recent: deque[tuple[float, float]] = deque()
        self._count = 0
        self._mean = 0.0
        self._variance = 0.0
        self._covariance = 0.0
        self._deviation = 0.0
        self._last_t = t
        self._low_since: float | None = None
        self._suspect_until = -math.inf
        self._rearm_at = math.inf

    def update(self, t: float, value: float) -> bool:
        """One frame's confidence at emulated ``t``. True: drift, now confirmed. Values that are not
        finite are ignored."""
        if t >= self._rearm_at:
            self.reset(t)
        if self._phase is Phase.ALARMED or t < self._ignore_until or not math.isfinite(value):
            return False
        if self._began is None:
            self._began = self._last_t = t
        self._test.update(value)
        self._remember(t, value)
        if self._phase is Phase.WARM_UP:
            self._learn(t, value)
            if t - self._began >= self.parameters.warm_up_s and self._count >= self.parameters.warm_up_values:
                self._phase = Phase.WATCHING
            return False
        return self._watch(t, value)

    def _watch(self, t: float, value: float) -> bool:
        margin = self._margin()
        below = self._mean - self.statistic
        self._low_since = (self._low_since if self._low_since is not None else t) if below > margin else None
        if self._test.drift_detected:
            self._phase = Phase.SUSPECT
            self._suspect_until = t + self.parameters.suspect_s
        elif self._phase is Phase.SUSPECT and below <= margin / 2 and t >= self._suspect_until:
            self._phase = Phase.WATCHING
        if self._low_since is None and self._phase is Phase.WATCHING:
            self._learn(t, value)
        patience = self.parameters.confirm_s
        if self._phase is not Phase.SUSPECT:
            patience = max(patience, self.parameters.insist_s)
        if self._low_since is None or t - self._low_since < patience - 1e-9:
            return False
        if self._mean - self._mean_since(t - self.parameters.confirm_s / 2) <= margin / 2:
            return False
        self._phase = Phase.ALARMED
        self._rearm_at = t + self.parameters.rearm_s
        return True

    def _margin(self) -> float:
        """How far below the reference the recent mean must be: clearly, and beyond chance.

        Cars that stay in view for seconds make neighbouring values alike, and so many values say no
        more than a few independent ones: n of them count as n * (1 - r) / (1 + r), r their correlation.
        """
        error = math.sqrt(self._variance * (1.0 / len(self._recent) + 1.0 / self._count))
        r = self.correlation
        chance = self.parameters.margin_errors * error * math.sqrt((1.0 + r) / (1.0 - r))
        return max(self.parameters.margin, min(chance, self.parameters.margin_most * self._mean))

    def _mean_since(self, t: float) -> float:
        """Mean of the recent values at or after ``t``; the newest always counts."""
        values = [value for at, value in self._recent if at >= t] or [self._recent[-1][1]]
        return sum(values) / len(values)

    def _remember(self, t: float, value: float) -> None:
        self._recent.append((t, value))
        while self._recent[0][0] <= t - self.parameters.recent_s:
            self._recent.popleft()

    def _learn(self, t: float, value: float) -> None:
        """Mean, variance, covariance of neighbours: every value alike at first, then with ``memory_s``."""
        self._count += 1
        fresh = -math.expm1(-(t - self._last_t) / self.parameters.memory_s)
        self._last_t = t
        weight = max(1.0 / self._count, fresh)
        deviation = value - self._mean
        self._mean += weight * deviation
        self._variance = (1.0 - weight) * (self._variance + weight * deviation**2)
        self._covariance = (1.0 - weight) * (self._covariance + weight * deviation * self._deviation)
        self._deviation = deviation


def make_change_test(name: DetectorName) -> ChangeTest:
    """A river detector tuned for about 4 values a second (measured in docs/notes/algorithms.md).

    river takes more than a second to import: only those who watch for drift pay for it.
    """
    from river import drift

    test: ChangeTest
    match name:
        case "page-hinkley":
            test = drift.PageHinkley(min_instances=8, delta=0.05, threshold=0.8, mode="down")
        case "adwin":
            # A delta this large is no error probability: ADWIN's bound is far too careful for the
            # handful of values there are, and the confirmation holds back its false alarms.
            test = drift.ADWIN(delta=0.8, clock=1, min_window_length=4, grace_period=12)
        case "kswin":
            test = drift.KSWIN(alpha=0.005, window_size=30, stat_size=10, seed=0)
        case _:
            raise ValueError(f"unknown drift detector {name!r}")
    return test
