"""When a camera asks for retraining: drift detection without labels, on its student's own confidence.

The paper leaves the detector open (section 3.3), so all of this is ours. A student that no longer fits the
scene finds fewer objects and is less sure of them, so a fall of its confidence is taken for drift. Three
change detectors of the river library are offered. Each of them alone gives many false alarms on such
streams. Its alarm therefore only raises a suspicion, which the level of the values must confirm:

    WARM_UP --enough values--> WATCHING --river's alarm--> SUSPECT --low for confirm_s--> ALARMED
                                 |   ^------ not low, for suspect_s -----/                   ^
                                 +---------------------- low for insist_s -------------------+

"Low" means that the mean of the last ``recent_s`` seconds is below the reference by a margin. The reference
is the usual level since the last ``reset``. A rise is never drift. After an alarm there is no other one until
``reset``, which the camera calls when it begins to run a new student, until ``resume``, or until ``rearm_s``
after ``answered``.

An alarm comes seconds after the drift. ``onset`` says when the drift began: frames from before it say nothing
of the drifted data.
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
    """One frame's confidence: the mean of its ``top`` highest detection scores, of all if there are fewer.

    ``scores`` has shape (N,) and values from 0 to 1. Without a detection the confidence is 0.
    """
    # Only the highest few. The number of objects in view says little of the student, and the many doubtful
    # boxes that a detector reports would pull every frame's mean to the detection threshold.
    if len(scores) == 0:
        return 0.0
    return float(np.sort(scores)[-top:].mean())


class ChangeTest(Protocol):
    """The part of a river detector that is used: it takes a value and then says whether it sees a change."""

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
    """After a reset, values are ignored for this long: the old student may still have seen these frames."""
    recent_s: float = 2.0
    """The recent mean is taken over this long."""
    margin: float = 0.1
    """The recent mean is low when it is further than this below the reference."""
    margin_errors: float = 3.0
    """The margin in standard errors of the difference between both means; the larger margin counts."""
    margin_most: float = 0.4
    """Upper bound of the margin that comes from ``margin_errors``, as a fraction of the reference."""
    confirm_s: float = 1.0
    """With a suspicion, values must be low for this long before the alarm."""
    insist_s: float = 5.0
    """Without a suspicion, values must be low for this long (at least ``confirm_s``) before the alarm."""
    suspect_s: float = 2.0
    """A suspicion is dropped after this long if the recent mean is within half the margin by then."""
    memory_s: float = 60.0
    """Time constant with which the reference forgets."""
    rearm_s: float = 60.0
    """When an alarm was answered and no ``reset`` followed, the reference is learnt anew after this long."""
    onset_s: float = 15.0
    """The onset is looked for so long before the alarm."""
    onset_fall: float = 0.7
    """A value is likelier from after the onset when it has fallen by more than this part of the whole fall.
    With 0.5 an onset too early is as likely as one too late; a larger part makes too early rare."""

    def __post_init__(self) -> None:
        if min(self.recent_s, self.memory_s, self.rearm_s, self.onset_s) <= 0 or self.warm_up_values < 2:
            raise ValueError(
                "recent_s, memory_s, rearm_s and onset_s must be positive and warm_up_values at least 2"
            )
        if not 0 < self.onset_fall < 1:
            raise ValueError(f"onset_fall is a part of the fall, between 0 and 1, got {self.onset_fall}")
        not_negative = (
            *(self.warm_up_s, self.cooldown_s, self.confirm_s, self.insist_s, self.suspect_s),
            *(self.margin, self.margin_errors, self.margin_most),
        )
        if any(value < 0 for value in not_negative):
            raise ValueError("times and margins must not be negative")


def warm_up_s(values_per_s: float, parameters: DriftParameters | None = None) -> float:
    """Emulated seconds from a detector's first value until it has learnt its reference and can raise an
    alarm."""
    parameters = parameters or DriftParameters()
    return max(parameters.warm_up_s, (parameters.warm_up_values - 1) / values_per_s)


class Phase(Enum):
    """States of the detector; the module's picture shows how they follow each other."""

    WARM_UP = auto()
    WATCHING = auto()
    SUSPECT = auto()
    ALARMED = auto()


class DriftDetector:
    """Takes a student's confidence in each frame with ``update``, which answers True once per drift."""

    def __init__(
        self, name: DetectorName = "page-hinkley", parameters: DriftParameters | None = None
    ) -> None:
        self.name = name
        self.parameters = parameters or DriftParameters()
        self.onset = math.nan
        """When the drift of the last alarm began; NaN before the first alarm."""
        self.reset(-math.inf)

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def reference(self) -> float:
        """The usual level of the values; NaN before the first one."""
        return self._mean if self._count else math.nan

    @property
    def statistic(self) -> float:
        """The mean of the recent values; NaN before the first one."""
        return self._mean_since(-math.inf) if self._recent else math.nan

    @property
    def correlation(self) -> float:
        """Correlation of neighbouring values, learnt together with the reference; 0 to 0.9."""
        # At most 0.9: at 1 the margin would be infinite. At least 0: values that alternate would make it too
        # small.
        if self._variance <= 0.0:
            return 0.0
        return min(0.9, max(0.0, self._covariance / self._variance))

    @property
    def low(self) -> bool:
        """Whether the recent mean is below the reference by more than half the margin: the drift of an alarm
        is not over."""
        if not self._recent:  # a new student has just begun: nothing is known yet
            return self._phase is Phase.ALARMED
        return self._mean - self.statistic > self._margin() / 2

    def reset(self, t: float) -> None:
        """A new student runs since ``t``: the reference is learnt anew."""
        self._phase = Phase.WARM_UP
        self._test = make_change_test(self.name)
        self._ignore_until = t + self.parameters.cooldown_s
        self._began: float | None = None
        self._recent: deque[tuple[float, float]] = deque()
        self._past: deque[tuple[float, float]] = deque()
        """The values of the last ``onset_s``."""
        self._count = 0
        self._mean = 0.0
        self._variance = 0.0
        self._covariance = 0.0
        self._deviation = 0.0
        self._last_t = t
        self._low_since: float | None = None
        self._suspect_until = -math.inf
        self._rearm_at = math.inf
        self._switched = False
        """Whether another student than the reference's runs."""

    def switch(self, t: float) -> None:
        """A new student runs since ``t``, which was trained before anybody knew of a fall that is going on.

        A student that arrives in the middle of a fall must not make the camera forget it. So the reference is
        kept while values are low, and while an alarm has no answer; the new student is held to it. Otherwise
        this is a ``reset``.
        """
        if self._low_since is None or self._rearm_at < math.inf:
            self.reset(t)
        else:
            self._ignore_until = t + self.parameters.cooldown_s
            self._recent.clear()
            self._switched = True

    def answered(self, t: float) -> None:
        """Somebody deals with the alarm: after ``rearm_s`` the level of the values is taken for usual."""
        if self._phase is Phase.ALARMED:
            self._rearm_at = t + self.parameters.rearm_s

    def resume(self, t: float) -> None:
        """The fall is over, and nobody need answer the alarm: another fall is another drift."""
        if self._switched:
            self.reset(t)
        elif self._phase is Phase.ALARMED:
            self._phase = Phase.WATCHING
            self._test = make_change_test(self.name)
            self._low_since = None
            self._rearm_at = math.inf

    def update(self, t: float, value: float) -> bool:
        """Takes one frame's confidence at emulated ``t``. True means drift, now confirmed.

        Values that are not finite are ignored.
        """
        if t >= self._rearm_at:
            self.reset(t)
        if t < self._ignore_until or not math.isfinite(value):
            return False
        if self._began is None:
            self._began = self._last_t = t
        self._remember(t, value)
        if self._phase is Phase.ALARMED:
            return False
        self._test.update(value)
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
        if self._switched and self._low_since is None:
            # The new student ended the fall: its own level is learnt.
            self.reset(t)
            return False
        # Falling needs the whole margin, recovering half of it: a value between the two changes nothing.
        if self._test.drift_detected:
            self._phase = Phase.SUSPECT
            self._suspect_until = t + self.parameters.suspect_s
        elif self._phase is Phase.SUSPECT and below <= margin / 2 and t >= self._suspect_until:
            self._phase = Phase.WATCHING
        # The reference stands still while values are low or suspect, or a slow drift would drag it down.
        if self._low_since is None and self._phase is Phase.WATCHING:
            self._learn(t, value)
        # River's detectors have short memories and miss some falls that are plain to see a moment later. So
        # a fall without a suspicion counts too, if it lasts longer.
        patience = self.parameters.confirm_s
        if self._phase is not Phase.SUSPECT:
            patience = max(patience, self.parameters.insist_s)
        if self._low_since is None or t - self._low_since < patience - 1e-9:
            return False
        # A short fall that is over already still lowers the recent mean. The newest values must be low too.
        if self._mean - self._mean_since(t - self.parameters.confirm_s / 2) <= margin / 2:
            return False
        self._phase = Phase.ALARMED
        self.onset = self._fall_began(t)
        return True

    def _fall_began(self, t: float) -> float:
        """When the values changed from the reference to the present level: the likeliest moment (CUSUM).

        The last value that is still near the reference is a poor guess, because single values are noisy. All
        values of ``onset_s`` together say more: the sum of their distances below a bar between both levels,
        counted back from the newest value, is largest where the fall began.
        """
        present = self._mean_since(t - self.parameters.recent_s / 2)
        bar = self._mean - self.parameters.onset_fall * (self._mean - present)
        total, most, began = 0.0, 0.0, t
        for at, value in reversed(self._past):
            total += bar - value
            if total > most:
                most, began = total, at
        return began

    def _margin(self) -> float:
        """How far below the reference the recent mean must be, so that a fall is large and not chance."""
        # The standard error of the difference of two means, of len(recent) and of count values. Cars that
        # stay in view for seconds make neighbouring values alike. n values with correlation r between
        # neighbours then say no more than n * (1 - r) / (1 + r) independent ones (AR(1) noise).
        error = math.sqrt(self._variance * (1.0 / len(self._recent) + 1.0 / self._count))
        r = self.correlation
        # No noise makes the margin larger than ``margin_most`` of the reference: near 0 is always low.
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
        self._past.append((t, value))
        while self._past[0][0] <= t - self.parameters.onset_s:
            self._past.popleft()

    def _learn(self, t: float, value: float) -> None:
        """Updates the reference: mean, variance, and covariance of neighbouring values."""
        # Every value counts alike at first (weight 1 / count). Once 1 / count is smaller than the weight that
        # ``memory_s`` gives a new value, old values fade. ``expm1`` is exact for small steps of time. The two
        # lines for mean and variance are Welford's, with weights.
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

    Raises ``ValueError`` for a name that is not a ``DetectorName``.
    """
    # Imported here because river takes more than a second to import, and most processes watch no drift.
    from river import drift

    test: ChangeTest
    match name:
        case "page-hinkley":
            test = drift.PageHinkley(min_instances=8, delta=0.05, threshold=0.8, mode="down")
        case "adwin":
            # ADWIN's delta bounds the probability of a false alarm, and one this large bounds nothing. Its
            # bound is far too careful for a dozen values, and the confirmation holds back false alarms.
            test = drift.ADWIN(delta=0.8, clock=1, min_window_length=4, grace_period=12)
        case "kswin":
            test = drift.KSWIN(alpha=0.005, window_size=30, stat_size=10, seed=0)
        case _:
            raise ValueError(f"unknown drift detector {name!r}")
    return test
