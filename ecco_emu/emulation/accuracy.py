"""How good each camera's running student is, glimpsed live: its own detections against the world's labels.

Cameras run their student on a few frames a second anyway, to notice drift; those detections are compared with
the truth here, out of band. Nothing of it flows back into the system. These few newest frames show a viewer
where the run stands. The record's accuracies are measured on more frames, after the run (``measuring``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ecco_emu.core.clock import Clock
from ecco_emu.core.events import Accuracy, AnyEvent
from ecco_emu.core.ids import CameraId, ModelHash
from ecco_emu.tasks.detection import Detections, Labels, mean_average_precision

SPAN_S = 5.0
"""Accuracy is taken over a camera's frames of this many emulated seconds. It is taken over fewer if the
camera's student changed or its condition settled since: a mean over a change would describe neither side."""


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    t: float
    model: ModelHash
    labels: Labels
    seen: Detections


class LiveAccuracy:
    """Collects detections as they are made and measures every ``period_s`` in a thread."""

    def __init__(
        self,
        *,
        clock: Clock,
        labels: Callable[[CameraId, int], Labels],
        settled: Callable[[CameraId, float], bool],
        emit: Callable[[AnyEvent], None],
        period_s: float,
    ) -> None:
        self._clock = clock
        self._labels = labels
        self._settled = settled
        self._emit = emit
        self._period_s = period_s
        self._watched: dict[CameraId, deque[Watched]] = {}

    def observe(self, camera: CameraId, index: int, model: ModelHash, seen: Detections) -> None:
        now = self._clock.now()
        entry = Watched(now, model, self._labels(camera, index), seen)
        frames = self._watched.setdefault(camera, deque(maxlen=256))
        if not self._settled(camera, now):
            frames.clear()
            return
        if frames and frames[-1].model != model:  # a mean over two students would describe neither
            frames.clear()
        frames.append(entry)
        while entry.t - frames[0].t > SPAN_S:
            frames.popleft()

    async def run(self) -> None:
        t = 0.0
        while True:
            t += self._period_s
            await self._clock.sleep_until(t)
            await self.measure()

    async def measure(self) -> None:
        for camera, frames in list(self._watched.items()):  # cameras go on watching while this awaits
            taken = list(frames)
            if not taken:
                continue
            result = await asyncio.to_thread(
                mean_average_precision,
                [entry.labels for entry in taken],
                [entry.seen for entry in taken],
            )
            if result.objects == 0:  # an empty scene says nothing of the student: that is no accuracy of 0
                continue
            self._emit(
                Accuracy(
                    t=self._clock.now(),
                    camera=camera,
                    map=result.map,
                    map50=result.map50,
                    frames=len(taken),
                    model=taken[-1].model,
                )
            )
