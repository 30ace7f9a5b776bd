"""A script drives a simulated run: it acts at exact times, and faults end with one clear message each."""

from __future__ import annotations

import asyncio
import time

import pytest

from ecco_emu.core.errors import EccoError
from ecco_emu.core.events import FaultApplied
from ecco_emu.host import loop_thread
from ecco_emu.host.loop_thread import StuckCallbackError
from ecco_emu.host.virtual_time import WallSleepError
from tests.sim.emulation.small import decided, of_kind, simulated


async def test_time_stands_still_between_the_statements_of_a_script(tmp_path):
    async with simulated(tmp_path) as emu:
        assert emu.now() == 0.0
        await emu.until(t=3.25)
        assert emu.now() == 3.25
        await asyncio.sleep(0.05)
        assert emu.now() == 3.25
        await emu.until(window=1)
        assert emu.now() == 8.0


async def test_a_script_is_part_of_what_repeats(tmp_path):
    async def script(out):
        async with simulated(out) as emu:
            await emu.until(lambda s: s.camera("cam1").segments_delivered > 2, timeout=20)
            await emu.link("cam1").down(duration=1.5)
            await emu.until(t=emu.now() + 2)
            await emu.link("cam2").set(rate="300kbit", loss=0.02)
            await asyncio.sleep(0.01)
            await emu.inject("bottleneck cliff rate=1mbit for=2s")
            counters = await emu.counters()
            await emu.finish()
        return decided(emu.directory), counters["cam1"].egress.packets

    first, second = await script(tmp_path / "a"), await script(tmp_path / "b")
    assert first == second
    faults = of_kind(first[0], "fault")
    assert len(faults) >= 5
    assert all(fault["applied"] == fault["requested"] for fault in faults)


async def test_events_come_to_the_callers_loop_before_what_they_made_happen(tmp_path):
    seen = []
    here = asyncio.get_running_loop()

    def listener(event):
        assert asyncio.get_running_loop() is here
        seen.append(event)

    async with simulated(tmp_path) as emu:
        emu.subscribe(listener)
        await emu.link("cam1").down()
        assert any(isinstance(event, FaultApplied) for event in seen)


async def test_until_says_what_did_not_happen(tmp_path):
    async with simulated(tmp_path) as emu:
        with pytest.raises(TimeoutError, match="within 2 emulated seconds"):
            await emu.until(lambda s: False, timeout=2)
        assert emu.now() == 2.0
        with pytest.raises(EccoError, match="the run ended"):
            await emu.until(lambda s: False)


async def test_a_cancelled_script_leaves_a_whole_record(tmp_path):
    async def script():
        async with simulated(tmp_path) as emu:
            emu.subscribe(lambda event: running.set() if event.t > 1 else None)
            await emu.finish()

    running = asyncio.Event()
    task = asyncio.create_task(script())
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [directory] = tmp_path.iterdir()
    assert of_kind(decided(directory), "run_ended")[0]["status"] == "interrupted"
    assert not (directory / "live.json").exists()


async def test_code_that_sleeps_on_the_wall_is_named(tmp_path):
    def sleepy(summary):
        time.sleep(0.001)
        return True

    with pytest.raises(WallSleepError, match=r"sleepy .*test_scripts\.py.* calls time\.sleep"):
        async with simulated(tmp_path) as emu:
            await emu.until(sleepy)


async def test_code_that_never_returns_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(loop_thread, "PATIENCE_S", 2.0)

    def endless(summary):
        while summary is not None:
            pass
        return True

    with pytest.raises(StuckCallbackError, match="endless"):
        async with simulated(tmp_path) as emu:
            await emu.until(endless)
    [directory] = tmp_path.iterdir()
    assert of_kind(decided(directory), "run_ended")


async def test_a_run_that_hangs_is_ended(tmp_path, monkeypatch):
    """Cameras go on for ever, so it is the run's horizon that finds it."""
    from ecco_emu.server.windows import RetrainingLoop

    async def hangs(self):
        await asyncio.Event().wait()

    monkeypatch.setattr(RetrainingLoop, "run", hangs)
    with pytest.raises(EccoError, match=r"should have ended by .*hangs"):
        async with simulated(tmp_path, "windows.count=1", "faults=[]") as emu:
            await emu.finish()
    [directory] = tmp_path.iterdir()
    assert of_kind(decided(directory), "run_ended")[0]["status"] == "failed"


async def test_gpus_that_take_longer_than_they_have_degrade_no_run(tmp_path):
    """What is measured after training is charged to the next micro-window, and with few images runs over."""
    async with simulated(tmp_path, "trainer.gpu_speed=2", "trainer.eval_frames=8", "faults=[]") as emu:
        assert await emu.finish() == "ok"
    events = decided(emu.directory)
    assert any(event["late"] for event in of_kind(events, "micro_window"))
    assert not of_kind(events, "deadline_missed")
