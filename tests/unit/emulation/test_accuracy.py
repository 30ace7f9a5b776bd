"""Live accuracy: over which frames it is taken."""

from __future__ import annotations

import numpy as np
import pytest

from ecco_emu.core.events import Accuracy, AnyEvent
from ecco_emu.core.ids import CameraId, ModelHash
from ecco_emu.emulation.accuracy import LiveAccuracy
from ecco_emu.tasks.detection import Detections, Labels

CAMERA = CameraId("cam1")
OLD, NEW = ModelHash("0" * 16), ModelHash("1" * 16)
BOX = np.array([[10, 10, 60, 60]], np.float32)
TRUTH = Labels(BOX, np.zeros(1, np.int64))
RIGHT = Detections(BOX, np.ones(1, np.float32), np.zeros(1, np.int64))
WRONG = Detections(BOX + 200, np.ones(1, np.float32), np.zeros(1, np.int64))


class Now:
    t = 0.0

    def now(self) -> float:
        return self.t

    async def sleep_until(self, t: float) -> float:
        raise AssertionError("not used here")


class Bench:
    def __init__(self) -> None:
        self.clock = Now()
        self.fading: tuple[float, float] = (100.0, 101.0)
        self.events: list[AnyEvent] = []
        self.truth = TRUTH
        self.live = LiveAccuracy(
            clock=self.clock,
            labels=lambda camera, index: self.truth,
            settled=lambda camera, t: not self.fading[0] <= t < self.fading[1],
            emit=self.events.append,
            period_s=2.0,
        )

    def see(self, t: float, seen: Detections, model: ModelHash = OLD) -> None:
        self.clock.t = t
        self.live.observe(CAMERA, round(t * 10), model, seen)

    async def accuracy(self) -> Accuracy:
        await self.live.measure()
        newest = self.events[-1]
        assert isinstance(newest, Accuracy)
        return newest


async def test_only_the_last_five_seconds_count() -> None:
    bench = Bench()
    for t in range(10):
        bench.see(t, WRONG if t < 4 else RIGHT)
    newest = await bench.accuracy()
    assert (newest.frames, newest.map) == (6, pytest.approx(1.0))


async def test_another_student_starts_anew() -> None:
    bench = Bench()
    bench.see(1.0, WRONG)
    bench.see(1.5, RIGHT, NEW)
    newest = await bench.accuracy()
    assert (newest.frames, newest.model, newest.map) == (1, NEW, pytest.approx(1.0))


async def test_no_measurement_mixes_two_weathers() -> None:
    bench = Bench()
    bench.fading = (2.0, 3.0)
    for t in (1.0, 1.5, 2.0, 2.5):
        bench.see(t, RIGHT)
    await bench.live.measure()
    assert bench.events == []  # the old weather is gone, the new one not yet there
    bench.see(3.0, WRONG)
    assert (await bench.accuracy()).map == 0.0


async def test_an_empty_scene_is_not_measured_as_0() -> None:
    bench = Bench()
    bench.truth = Labels.empty()
    bench.see(1.0, WRONG)
    await bench.live.measure()
    assert bench.events == []
