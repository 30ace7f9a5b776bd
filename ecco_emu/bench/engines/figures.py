"""The figures of one run that are compared between engines. Pure.

A figure has a kind and a subject: a camera, a group by its members, or the run. Groups go by their members,
as the same group may be job1 in one run and job2 in the next.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from statistics import fmean
from typing import Literal

import msgspec

from ecco_emu.core import events as ev
from ecco_emu.record.drifts import run_responses
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.parts import CameraMetrics
from ecco_emu.record.share_error import START_S, STEADY_MIN_S, steady_samples

FigureKind = Literal[
    "goodput", "loss", "share", "delivered", "late", "lost", "students", "transfer time", "response time"
]
WHOLE_RUN = "all"
"""The subject of figures of the run."""
SteadySamples = dict[str, list[ev.Traffic]]
"""By camera, samples of its traffic in steady state."""


class RunFigure(msgspec.Struct, frozen=True):
    """One figure: bit/s, a fraction, a count or emulated seconds, by its kind."""

    kind: FigureKind
    subject: str
    value: float


def figures_of(metrics: RunMetrics, traced: Collection[str] = ()) -> list[RunFigure]:
    """All figures that the run has. One that was not measured is absent. ``traced``: cameras on whose way to
    the server a link follows a trace."""
    steady = _steady(metrics, traced)
    return [
        *_traffic(metrics, steady),
        *_shares(metrics, steady),
        *_segments(metrics),
        *_students(metrics),
    ]


def groups_of(metrics: RunMetrics) -> list[list[str]]:
    """The groups at the end of the last window, each sorted, in order."""
    groups = metrics.windows[-1].groups if metrics.windows else []
    return sorted(sorted(group.members) for group in groups if group.members)


def _traffic(metrics: RunMetrics, steady: SteadySamples) -> Iterator[RunFigure]:
    for camera, samples in steady.items():
        yield RunFigure("goodput", camera, _mean_bps(samples))
    for each in metrics.cameras.values():
        sent = math.fsum(sample.sent_bps * sample.period_s for sample in each.traffic)
        if sent > 0:
            lost = math.fsum(sample.loss * sample.sent_bps * sample.period_s for sample in each.traffic)
            yield RunFigure("loss", each.id, lost / sent)


def _steady(metrics: RunMetrics, traced: Collection[str]) -> SteadySamples:
    """By camera that has some: the samples of its traffic in steady state."""
    faults = [fault.applied for fault in metrics.faults]
    found = {
        camera.id: _streaming(camera) if camera.id in traced else steady_samples(camera, faults)
        for camera in metrics.cameras.values()
    }
    return {camera: samples for camera, samples in found.items() if _length_s(samples) >= STEADY_MIN_S}


def _streaming(camera: CameraMetrics) -> list[ev.Traffic]:
    """All samples but those of the start: where a trace sets the target, that never stands still."""
    streaming = [sample for sample in camera.traffic if sample.target_bps > 0]
    began = streaming[0].t if streaming else 0.0
    return [sample for sample in streaming if sample.t - sample.period_s >= began + START_S]


def _length_s(samples: Iterable[ev.Traffic]) -> float:
    return math.fsum(sample.period_s for sample in samples)


def _mean_bps(samples: Sequence[ev.Traffic]) -> float:
    bits = math.fsum(sample.goodput_bps * sample.period_s for sample in samples)
    return bits / _length_s(samples)


def _shares(metrics: RunMetrics, steady: SteadySamples) -> Iterator[RunFigure]:
    """Each group's part of the bottleneck or, where that has no rate, of what all groups got."""
    groups: dict[str, dict[str, list[ev.Traffic]]] = defaultdict(lambda: defaultdict(list))
    for camera, samples in steady.items():
        for sample in samples:
            if (job := metrics.cameras[camera].job_at(sample.t)) is not None:
                groups[job][camera].append(sample)
    got: dict[str, float] = defaultdict(float)
    for members in groups.values():
        got[group_name(sorted(members))] += math.fsum(map(_mean_bps, members.values()))
    whole = (metrics.started.bottleneck_bps if metrics.started else None) or math.fsum(got.values())
    for group, rate in got.items():
        yield RunFigure("share", group, rate / whole)


def _segments(metrics: RunMetrics) -> Iterator[RunFigure]:
    for camera in metrics.cameras.values():
        if camera.segments_sent:
            yield RunFigure("delivered", camera.id, camera.segments_delivered)
            yield RunFigure("late", camera.id, camera.segments_late)
            yield RunFigure("lost", camera.id, camera.segments_lost)


def _students(metrics: RunMetrics) -> Iterator[RunFigure]:
    """Their transfers, and when accuracy came back with them."""
    transfers: dict[str, list[float]] = defaultdict(list)
    for camera in metrics.cameras.values():
        for student in camera.students:
            if student.transferred_bytes:
                transfers[camera.id].append(student.transfer_s)
    yield RunFigure("students", WHOLE_RUN, sum(map(len, transfers.values())))
    for name, times in transfers.items():
        yield RunFigure("transfer time", name, fmean(times))
    for name, responses in run_responses(metrics).items():
        answered = [each.response_s for each in responses if each.response_s is not None]
        if answered:
            yield RunFigure("response time", name, fmean(answered))


def group_name(members: Iterable[str]) -> str:
    return "+".join(members)
