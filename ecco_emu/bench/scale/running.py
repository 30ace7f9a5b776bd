"""Measures one number of cameras, in the process that it is called in."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import psutil

from ecco_emu.bench.scale import scene
from ecco_emu.bench.scale.sampling import StackSampler
from ecco_emu.core.errors import EccoError
from ecco_emu.emulation.emulation import Emulation
from ecco_emu.host import event_loop
from ecco_emu.record.metrics import RunMetrics

ScaleEngine = Literal["simulated", "real"]
WARM_UP_S = 10.0
"""Emulated seconds until all cameras stream: drift at 1 s, a request with frames, two micro-windows."""


@dataclass(frozen=True, slots=True)
class CostPoint:
    """The cost of one number of cameras on one engine. Per emulated second, over the measured stretch."""

    engine: ScaleEngine
    cameras: int
    streaming: int
    """Cameras that streamed at its end."""
    goodput_bps: float
    """Video of all cameras."""
    cpu_s: float
    """Processor time of all processes."""
    parts: Mapping[str, float]
    """The event loop's part of it, by what it was for; what is missing are threads and other processes."""
    wall_s: float
    start_s: float
    """Processor time before the first emulated second."""
    rss_bytes: int
    """Memory of all processes at the end."""
    dilation: float


def measure(engine: ScaleEngine, cameras: int, seconds: float) -> CostPoint:
    """Raises ``HostError`` where the host cannot build the lab."""
    return event_loop.run(_measure(engine, cameras, seconds))


async def _measure(engine: ScaleEngine, cameras: int, seconds: float) -> CostPoint:
    simulated = engine == "simulated"
    scenario = scene.scenario(
        cameras,
        WARM_UP_S + seconds + scene.MICRO_S,
        engine="simulated" if simulated else "auto",
        dilation=1.0 if simulated else "auto",
    )
    with tempfile.TemporaryDirectory(prefix="ecco-emu-scale-") as folder:
        began = _cpu_s()
        emulation = Emulation(scenario, out=folder)
        async with emulation:
            started = _cpu_s()
            await emulation.until(t=WARM_UP_S)
            used, wall = _cpu_s(), time.monotonic()
            with StackSampler(_loop_thread(scenario.name) if simulated else threading.get_ident()) as sampler:
                await emulation.until(t=WARM_UP_S + seconds)
            used, wall = _cpu_s() - used, time.monotonic() - wall
            metrics = emulation.summary()
            return CostPoint(
                engine=engine,
                cameras=cameras,
                streaming=sum(camera.state != "idle" for camera in metrics.cameras.values()),
                goodput_bps=_goodput_bps(metrics, WARM_UP_S),
                cpu_s=used / seconds,
                parts={part: cpu_s / seconds for part, cpu_s in sampler.cpu_s.items()},
                wall_s=wall / seconds,
                start_s=started - began,
                rss_bytes=sum(process.memory_info().rss for process in _processes()),
                dilation=emulation.dilation,
            )


def _processes() -> list[psutil.Process]:
    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def _cpu_s() -> float:
    """Processor time of this process and its children, those that have ended included."""
    times = [process.cpu_times() for process in _processes()]
    ended: float = times[0].children_user + times[0].children_system
    return ended + sum(float(each.user + each.system) for each in times)


def _loop_thread(name: str) -> int:
    """The thread of a simulated run's event loop."""
    for thread in threading.enumerate():
        if thread.name == f"run of {name}" and thread.ident is not None:
            return thread.ident
    raise EccoError(f"the run of {name} has no thread")


def _goodput_bps(metrics: RunMetrics, since_s: float) -> float:
    cameras = metrics.cameras.values()
    rates = [[each.goodput_bps for each in camera.traffic if each.t > since_s] for camera in cameras]
    return sum(fmean(each) for each in rates if each)
