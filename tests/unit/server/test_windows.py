"""Micro-windows: who gets them, what they pay for, when they are late, and the shares that follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecco_emu.core.events import Assigned, MicroWindow, WindowEnded
from ecco_emu.core.ids import JobId
from tests.unit.server.bench import CAM1, CAM2, CAM3, FAR, Bench


async def test_shares_of_new_jobs_are_equal_until_measured_and_sum_to_one(bench: Bench) -> None:
    for number, camera in enumerate((CAM1, CAM2, CAM3)):
        await bench.ask(camera, (1000.0 * number, 0.0))
    shares = [job.p for job in bench.server.jobs]
    assert shares == pytest.approx([1 / 3] * 3)


async def two_jobs(bench: Bench) -> tuple[JobId, JobId]:
    first = await bench.ask(CAM1, (0.0, 0.0))
    second = await bench.ask(CAM2, FAR)
    assert first is not None
    assert second is not None
    return first, second


async def test_every_micro_window_trains_one_job_and_the_better_gain_gets_more(bench: Bench) -> None:
    high, low = await two_jobs(bench)
    bench.trainer.gain = {high: 0.03, low: 0.0}
    await bench.loop.run()
    micro = bench.record.of(MicroWindow)
    assert len(micro) == 20  # two windows of ten
    assert [event.job for event in micro].count(high) > [event.job for event in micro].count(low) >= 2
    assert all(event.map_after is not None and event.losses for event in micro)
    assert bench.misses == []
    windows = bench.record.of(WindowEnded)
    assert [window.start for window in windows] == [0.0, 20.0]
    assert sum(group.micro_windows for group in windows[1].groups) == 10
    assert sum(group.p for group in windows[1].groups) == pytest.approx(1.0)


async def test_estimates_are_sent_once_a_window_after_the_initial_pass(bench: Bench) -> None:
    high, low = await two_jobs(bench)
    bench.trainer.gain = {high: 0.03, low: 0.01}
    bench.record.events.clear()
    await bench.loop.run()
    times = [event.t for event in bench.record.of(Assigned)]
    assert len(times) <= 4  # at most both jobs once in each of two windows
    assert all(3.0 <= t <= 4.0 for t in times[:2])  # both have had a micro-window of 2 s by then


async def test_measuring_is_charged_to_the_micro_windows_budget(bench: Bench) -> None:
    await bench.ask(CAM1, (0.0, 0.0))
    await bench.loop.run()
    [first, second, *_] = bench.record.of(MicroWindow)
    assert first.budget == 2 * 40 * 2.0  # GPUs x images a second x micro-window
    assert first.charged == pytest.approx(8 * 0.4)  # eval_frames of the scenario, measured before
    assert second.charged == pytest.approx(2 * 8 * 0.4)  # and after
    assert second.images == int(second.budget - second.charged)


async def test_without_jobs_micro_windows_pass_idle(bench: Bench) -> None:
    await bench.loop.run()
    assert [event.job for event in bench.record.of(MicroWindow)] == [None] * 20
    assert bench.clock.now() == 40.0


async def test_training_that_overruns_is_a_missed_deadline_and_costs_the_next_slot(bench: Bench) -> None:
    await bench.ask(CAM1, (0.0, 0.0))
    bench.trainer.takes_s = 3.5  # of a micro-window of 2 s
    await bench.loop.run()
    micro = bench.record.of(MicroWindow)
    assert 0 < len(micro) < 20
    assert all(event.late for event in micro)
    assert len(bench.misses) >= len(micro)


async def test_measuring_that_is_worth_whole_micro_windows_takes_them_and_is_no_missed_deadline(
    tmp_path: Path,
) -> None:
    # 32 frames of each of three members cost 96 images at a window's end, and a micro-window has 40
    bench = Bench(
        tmp_path,
        windows={"count": 3, "length": "20s", "micro": "2s"},
        trainer={"gpus": 1, "gpu_speed": 20, "batch": 4, "evaluation_cost": 1.0, "eval_frames": 3},
    )
    await bench.group(CAM1, CAM2, CAM3)
    bench.trainer.evaluating_s = 0.04  # a frame: 3.8 s for the window's end, more than a micro-window
    await bench.loop.run()
    # not the first window's end, which measures newcomers' own students too
    third = [event for event in bench.record.of(MicroWindow) if event.window == 2]
    assert [event.job is None for event in third] == [True, True] + [False] * 8
    assert [event.charged for event in third[:2]] == [40.0, 40.0]
    # 96 and the 3 frames after the last micro-window, less 80, and 3 frames before this one
    assert third[2].charged == pytest.approx(96 + 3 - 80 + 3)
    assert third[2].images == 40 - 22
    seconds = sum(event.evaluate_wall_s for event in third[:3])
    assert seconds == pytest.approx(0.04 * (96 + 3 + 3))
    assert third[0].evaluate_wall_s == pytest.approx(seconds * 40 / 102)
    assert bench.misses == []


async def test_an_overrun_of_a_few_per_cent_is_late_when_it_adds_up(bench: Bench) -> None:
    await bench.ask(CAM1, (0.0, 0.0))
    bench.trainer.takes_s = 2.04  # of a micro-window of 2 s
    await bench.loop.run()
    late = [event.late for event in bench.record.of(MicroWindow)]
    # ends are 0.04, 0.08, 0.12 s late, and so on: more than a twentieth from the third one on
    assert late[:4] == [False, False, True, True]
    assert len(bench.misses) == late.count(True)
