"""Which student a camera ran in which weather, and which frames show how good it was there. Pure.

A stretch is a time in which a camera's condition stays the same. Every student that it ran in a stretch is
measured on the same frames of that stretch, so that students differ by themselves and not by their frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ecco_emu.core.ids import CameraId, ModelHash
from ecco_emu.world.source import ConditionChange

MEASURED_FRAMES = 32
"""Frames of a stretch that its students are measured on; all of its frames where it has fewer."""


LONGEST_FADE_S = 10.0
"""So long after the run's end the last change of weather may still fade, for its stretch to be measured."""


@dataclass(frozen=True, slots=True)
class Held:
    """A camera ran ``model`` from ``start`` to ``end``, in emulated seconds."""

    model: ModelHash
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """A camera's time under one condition, from the beginning of the change to it."""

    camera: CameraId
    condition: str
    start: float
    end: float
    last: bool
    """It goes on until the run's end: only there may frames after ``end`` stand for it."""
    students: tuple[Held, ...]
    """In order of time. One of no length was delivered, but did not arrive before the run ended."""


def stretches(
    camera: CameraId,
    changes: Sequence[ConditionChange],
    switches: Sequence[tuple[float, ModelHash]],
    on_its_way: ModelHash | None,
    end: float,
) -> list[Stretch]:
    """The camera's time from 0 to the run's end, cut at each change of its condition.

    ``switches`` are the times from which it ran a student, the first at 0. ``on_its_way`` is a student that
    was still to arrive at the end.
    """
    runs = [
        Held(model, start, stop)
        for (start, model), (stop, _) in pairwise([*switches, (end, None)])
        if model is not None and start < stop
    ]
    begun = _merged([change for change in changes if change.t < end])
    found = []
    for change, following in pairwise([*begun, None]):
        assert change is not None
        stop = end if following is None else following.t
        held = [
            Held(run.model, max(run.start, change.t), min(run.end, stop))
            for run in runs
            if run.start < stop and run.end > change.t
        ]
        if following is None and on_its_way is not None:
            held.append(Held(on_its_way, end, end))
        found.append(
            Stretch(camera, change.condition, change.t, stop, following is None, students=tuple(held))
        )
    return found


def frames_of(
    stretch: Stretch,
    fps: float,
    settled: Callable[[float], bool],
    most: int = MEASURED_FRAMES,
) -> list[int]:
    """Indices of at most ``most`` frames, spread evenly over the part of the stretch in which one condition
    no longer fades into the other; none if it fades all the time.

    The last stretch is taken to go on after the run's end for as long as that number of frames needs.
    """
    first = math.ceil(stretch.start * fps - 1e-9)
    stop = math.ceil(stretch.end * fps - 1e-9)
    limit = stop + math.ceil(LONGEST_FADE_S * fps) if stretch.last else stop
    while first < limit and not settled(first / fps):
        first += 1  # settled once, settled until the next change
    if first >= limit:
        return []
    count = max(stop - first, most) if stretch.last else stop - first
    if count <= most:
        return list(range(first, first + count))
    return [first + count * place // most for place in range(most)]


def _merged(changes: Sequence[ConditionChange]) -> list[ConditionChange]:
    """Without changes from a condition to the same one."""
    kept: list[ConditionChange] = []
    for change in changes:
        if not kept or change.condition != kept[-1].condition:
            kept.append(change)
    return kept
