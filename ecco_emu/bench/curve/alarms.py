"""When drift detectors speak: after a change of weather and without one, in runs and on the model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from ecco_emu.bench.curve.recorded import RecordedRun
from ecco_emu.camera.watching import make_watch
from ecco_emu.core import events as ev
from ecco_emu.core.ids import CameraId
from ecco_emu.scenario import schema
from ecco_emu.trainer.backend import LIVE_MIN_SCORE
from ecco_emu.trainer.curve.fit import CurveFit
from ecco_emu.trainer.curve.seeing import Seer
from ecco_emu.trainer.curve.student import first_student, load
from ecco_emu.world.sketch.world import SketchWorld

LONGEST_S = 12.0
"""An alarm that comes later after a change is not counted as its."""


@dataclass
class Alarms:
    """The first student's drifts: of each camera the first change of its condition, and the time before."""

    delays_s: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """By the condition that came."""
    missed: int = 0
    """Changes without an alarm."""
    false: int = 0
    """Alarms before a change."""
    steady_s: float = 0.0
    """Camera seconds in which every alarm was false."""

    def __iadd__(self, other: Alarms) -> Alarms:
        for condition, delays in other.delays_s.items():
            self.delays_s[condition] += delays
        self.missed += other.missed
        self.false += other.false
        self.steady_s += other.steady_s
        return self

    @property
    def mean_delay_s(self) -> float:
        """The mean over conditions of their median delays; NaN without any."""
        return fmean(map(median, self.delays_s.values())) if self.delays_s else math.nan

    @property
    def false_per_minute(self) -> float:
        return self.false / self.steady_s * 60 if self.steady_s else 0.0


def recorded(runs: Sequence[RecordedRun]) -> Alarms:
    found = Alarms()
    for run in runs:
        if run.scenario.drift.detector == "oracle":
            continue
        alarms: defaultdict[str, list[float]] = defaultdict(list)
        changes: dict[str, ev.Condition] = {}
        for event in run.events:
            if isinstance(event, ev.DriftNoticed):
                alarms[event.camera].append(event.t)
            elif isinstance(event, ev.Condition) and event.t > 0:
                changes.setdefault(event.camera, event)
        end = run.started.windows * run.started.window_s
        for camera in run.started.cameras:
            change = changes.get(camera)
            at = end if change is None else change.t
            _count(found, alarms[camera], at, change.weather if change else None)
    return found


async def modelled(scenario: schema.Scenario, world: SketchWorld, fit: CurveFit, seed: int) -> Alarms:
    """The scenario's cameras, looking as they do in a run until their first change is noticed or missed."""
    found = Alarms()
    if scenario.drift.detector == "oracle":
        return found
    seer, student = Seer(fit, seed, world.view), load(first_student(fit))
    end = scenario.windows.count * scenario.windows.length
    for camera in scenario.cameras:
        name = CameraId(camera.id)
        change = next((each for each in world.condition_changes(name) if each.t > 0), None)
        at = end if change is None else change.t
        until = min(end, at + LONGEST_S)
        watch = make_watch(scenario.drift, lambda t: "", lambda t: True)
        step = max(1, round(camera.source.fps / scenario.drift.infer_fps))
        alarms = []
        for index in range(0, int(until * camera.source.fps), step):
            frame = await world.frame(name, index)
            (seen,) = seer.detect(student, [frame.image], None, LIVE_MIN_SCORE)
            if watch.update(frame.t, seen.scores):
                alarms.append(frame.t)
        _count(found, alarms, at, change.condition if change else None)
    return found


def _count(found: Alarms, alarms: Sequence[float], change: float, condition: str | None) -> None:
    found.false += sum(t < change for t in alarms)
    found.steady_s += change
    if condition is None:
        return
    after = [t - change for t in alarms if 0 <= t - change <= LONGEST_S]
    if after:
        found.delays_s[condition].append(after[0])
    else:
        found.missed += 1
