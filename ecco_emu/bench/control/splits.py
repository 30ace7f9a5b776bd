"""Who leaves a group at a window's end: members whose scene is steady, in fog, or a little harder.

One student that does not change looks at many cameras of the town: three windows of day, one of fog. Between
two windows of day nothing has happened, so a member that is split off is split off falsely. Drops of known
size are made by overlooking a part of the objects that the student found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from statistics import fmean

import numpy as np

from ecco_emu.bench.control.scenes import Shot, shoot
from ecco_emu.control.evidence import AccuracyDifference, Estimate, two_sample
from ecco_emu.control.grouping import SCENE_NOISE, SplitRule
from ecco_emu.core.ids import ModelHash
from ecco_emu.core.random_streams import stream
from ecco_emu.host.workers import WorkerProcess
from ecco_emu.scenario.sections.world import Weather
from ecco_emu.study.tables import Table
from ecco_emu.tasks.detection import Detections, Labels, estimate, match_frames
from ecco_emu.trainer.backend import MIN_SCORE
from ecco_emu.trainer.client import InferenceClient

WINDOW_S = 16.0
FRAMES = 32
"""Of a window, the default of ``trainer.window_frames``."""
FEW = 8
"""As many as decided before (of every camera the newest eight)."""
OVERLOOKED = (0.24, 0.3, 0.36)
"""Parts of the detections that are left out: drops of about 0.1, 0.15 and 0.2 mAP."""
_WEATHERS: tuple[Weather, ...] = ("day", "day", "day", "fog")


@dataclass(frozen=True, slots=True)
class CameraWindows:
    """One camera's estimates under a student that stays the same."""

    town: int
    day: tuple[Estimate | None, ...]
    """Three windows of day."""
    few: tuple[Estimate | None, ...]
    """The same windows, measured on ``FEW`` frames."""
    fog: Estimate | None
    harder: tuple[Estimate | None, ...]
    """The second window with a part of the detections overlooked, by ``OVERLOOKED``."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How often a rule takes a member out of its group, at a window's end."""

    rule: str
    false: float
    """Of steady members."""
    fog: float
    """Of members whose day turned to fog."""
    power: tuple[float, ...]
    """Of members whose accuracy fell by ``Splits.drops``."""


@dataclass(frozen=True, slots=True)
class Splits:
    members: int
    comparisons: int
    """Pairs of windows of day, in both orders."""
    deviation: Mapping[int, float]
    """By number of frames, the standard deviation of the difference between two windows of day."""
    drops: tuple[float, ...]
    """Mean falls of mAP that were made, by ``OVERLOOKED``."""
    rates: tuple[Rates, ...]

    def tables(self) -> list[Table]:
        rows = tuple(
            (each.rule, f"{each.false:.1%}", f"{each.fog:.0%}", *(f"{power:.0%}" for power in each.power))
            for each in self.rates
        )
        headings = (
            "rule",
            "steady, false",
            "fog",
            *(f"fell by {drop:.2f}" for drop in self.drops),
        )
        notes = (
            f"{self.members} cameras, {self.comparisons} comparisons of two windows of {WINDOW_S:g} s of day",
            *(
                f"standard deviation of the difference on {frames} frames: {value:.3f} mAP"
                for frames, value in self.deviation.items()
            ),
        )
        return [Table("Members split off at a window's end", headings, rows, notes)]


async def measure(
    cameras: int,
    student: ModelHash,
    inference: InferenceClient,
    painter: WorkerProcess,
    progress: Callable[[str], None],
) -> list[CameraWindows]:
    """Renders and looks at every camera's four windows: about ten seconds a camera on one core."""
    members = []
    for town in range(cameras):
        progress(f"splits: camera {town + 1} of {cameras}")
        shots = [
            Shot(WINDOW_S * window + place * WINDOW_S / FRAMES, weather)
            for window, weather in enumerate(_WEATHERS)
            for place in range(FRAMES)
        ]
        pictures = await painter.call(shoot, town, None, shots)
        found = await inference.detect(student, [image for image, _ in pictures], min_score=MIN_SCORE)
        truth = [labels for _, labels in pictures]
        members.append(_member(town, truth, found))
    return members


def judge(members: Sequence[CameraWindows]) -> Splits:
    """The rates of the rules that can be chosen, the paper's plain threshold and the default among them."""
    steady = [_pairs(member.day) for member in members]
    few = [_pairs(member.few) for member in members]
    fog = [(member.day[2], member.fog) for member in members]
    harder = [[(member.day[0], member.harder[q]) for member in members] for q in range(len(OVERLOOKED))]
    drops = tuple(fmean(a.value - b.value for a, b in _known(pairs)) for pairs in harder)
    default = SplitRule()
    rules = [
        (f"plain threshold, {FEW} frames", SplitRule(confidence=0.5), 0.0, [p for ps in few for p in ps]),
        (f"plain threshold, {FRAMES} frames", SplitRule(confidence=0.5), 0.0, None),
        (f"{default.confidence:g} sure, scene noise 0", default, 0.0, None),
        (f"{default.confidence:g} sure, scene noise {SCENE_NOISE:g} (default)", default, SCENE_NOISE, None),
    ]
    flat = [pair for pairs in steady for pair in pairs]
    rates = tuple(
        Rates(
            name,
            _share(rule, noise, pairs if pairs is not None else flat),
            _share(rule, noise, fog),
            tuple(_share(rule, noise, pairs) for pairs in harder),
        )
        for name, rule, noise, pairs in rules
    )
    deviation = {
        FEW: _deviation([p for pairs in few for p in pairs]),
        FRAMES: _deviation(flat),
    }
    return Splits(len(members), len(_known(flat)), deviation, drops, rates)


Pair = tuple[Estimate | None, Estimate | None]


def _member(town: int, truth: Sequence[Labels], found: Sequence[Detections]) -> CameraWindows:
    windows = [slice(FRAMES * window, FRAMES * (window + 1)) for window in range(len(_WEATHERS))]
    random = stream(town, "bench control", "overlooked")
    day = windows[:3]
    return CameraWindows(
        town,
        day=tuple(_estimate(truth[w], found[w]) for w in day),
        few=tuple(_estimate(truth[w][-FEW * 4 :: 4], found[w][-FEW * 4 :: 4]) for w in day),
        fog=_estimate(truth[windows[3]], found[windows[3]]),
        harder=tuple(
            _estimate(truth[windows[1]], _overlook(found[windows[1]], part, random)) for part in OVERLOOKED
        ),
    )


def _estimate(truth: Sequence[Labels], found: Sequence[Detections]) -> Estimate | None:
    return estimate(match_frames(truth, found), [float(place) for place in range(len(truth))])


def _overlook(found: Sequence[Detections], part: float, random: np.random.Generator) -> list[Detections]:
    thinned = []
    for each in found:
        seen = random.random(len(each)) >= part
        thinned.append(Detections(each.boxes[seen], each.scores[seen], each.classes[seen]))
    return thinned


def _pairs(windows: Sequence[Estimate | None]) -> list[Pair]:
    # in both orders: nothing happened between them, so none comes before the other
    return list(permutations(windows, 2))


def _known(pairs: Sequence[Pair]) -> list[tuple[Estimate, Estimate]]:
    return [(a, b) for a, b in pairs if a is not None and b is not None]


def _share(rule: SplitRule, scene_noise: float, pairs: Sequence[Pair]) -> float:
    fell = [rule.fell(_drop(a, b, scene_noise)) for a, b in _known(pairs)]
    return fmean(fell) if fell else 0.0


def _drop(before: Estimate, after: Estimate, scene_noise: float) -> AccuracyDifference:
    return two_sample(before, after, scene_noise)


def _deviation(pairs: Sequence[Pair]) -> float:
    return float(np.std([a.value - b.value for a, b in _known(pairs)]))


def as_record(member: CameraWindows) -> dict[str, object]:
    """One camera's estimates as JSON values, without the quality of single frames."""

    def plain(value: Estimate | None) -> dict[str, object] | None:
        return None if value is None else {**asdict(value), "quality": []}

    return {
        "town": member.town,
        "day": [plain(each) for each in member.day],
        "few": [plain(each) for each in member.few],
        "fog": plain(member.fog),
        "harder": [plain(each) for each in member.harder],
    }
