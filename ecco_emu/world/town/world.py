"""A scenario's town as a world: rendered in a process of its own, so that the event loop never waits."""

from __future__ import annotations

import asyncio
import zlib
from collections import OrderedDict
from dataclasses import dataclass, field

from ecco_emu.core.errors import HostError
from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId
from ecco_emu.host.warm import OpenWorker, Worker
from ecco_emu.host.workers import WorkerProcess
from ecco_emu.scenario import schema
from ecco_emu.tasks.detection import Labels
from ecco_emu.world.town import child
from ecco_emu.world.town.cameras import TownCameras

LABEL_HISTORY = 4000
"""Frames per camera whose labels are kept: the teacher asks when a frame has crossed the network."""
FRAME_HISTORY = 8
"""Frames per camera kept, because watching and streaming ask for the same frame at different times."""
_NICENESS = -5
"""Of the rendering process, like the cameras' inference: frames must come before they are due."""


@dataclass
class _Taken:
    """The newest pictures of one camera."""

    labels: OrderedDict[int, Labels] = field(default_factory=OrderedDict)
    frames: OrderedDict[int, asyncio.Task[Frame]] = field(default_factory=OrderedDict)


class TownWorld(TownCameras):
    """The rendered town of a scenario. Implements ``World``."""

    def __init__(self, scenario: schema.Scenario, open_worker: OpenWorker = WorkerProcess) -> None:
        super().__init__(scenario)
        self._town, self._seed = scenario.world.town, scenario.seed
        self._taken = {camera: _Taken() for camera in self._cameras}
        self._open_worker = open_worker
        self._worker: Worker | None = None

    async def start(self) -> None:
        """Starts the rendering process and builds the town in it (about two seconds)."""
        if self._worker is not None:
            raise RuntimeError("the world is already started")
        self._worker = self._open_worker("rendering the town", niceness=_NICENESS)
        sizes = sorted({camera.source.size for camera in self._cameras.values()})
        await self._worker.call(child.open_town, self._town, self._seed, sizes)

    async def close(self) -> None:
        worker, self._worker = self._worker, None
        tasks = [task for taken in self._taken.values() for task in taken.frames.values()]
        for task in tasks:
            task.cancel()
        if worker is not None:
            await asyncio.to_thread(worker.close)
        await asyncio.gather(*tasks, return_exceptions=True)
        for taken in self._taken.values():
            taken.frames.clear()

    async def frame(self, camera: CameraId, index: int) -> Frame:
        taken = self._taken[camera]
        task = taken.frames.get(index)
        if task is None:
            task = asyncio.create_task(self._render(camera, index))
            task.add_done_callback(_retrieve)
            taken.frames[index] = task
            # a frame that is still being rendered stays, whatever its age: someone awaits it
            while len(taken.frames) > FRAME_HISTORY and next(iter(taken.frames.values())).done():
                taken.frames.popitem(last=False)
        # shielded: when one caller is cancelled, the others still need the frame
        return await asyncio.shield(task)

    def labels(self, camera: CameraId, index: int) -> Labels:
        return self._taken[camera].labels[index]

    async def _render(self, camera: CameraId, index: int) -> Frame:
        eye, taken = self._cameras[camera], self._taken[camera]
        t = index / eye.source.fps
        try:
            if self._worker is None:
                raise HostError("the world is not running: start it before asking for frames")
            image, labels = await self._worker.call(
                child.shoot,
                eye.source.size,
                eye.view,
                t,
                eye.conditions(t),
                noise_key(self._seed, camera, index),
            )
        except BaseException:
            # forgotten, so that the next caller tries again instead of being given the old failure
            taken.frames.pop(index, None)
            raise
        taken.labels[index] = labels
        if len(taken.labels) > LABEL_HISTORY:
            taken.labels.popitem(last=False)
        return Frame(camera, index, t, image)


def _retrieve(task: asyncio.Task[Frame]) -> None:
    """Marks a failure as seen: asyncio complains of one that nobody awaits, as when all callers are gone."""
    if not task.cancelled():
        task.exception()


def noise_key(seed: int, camera: str, index: int) -> int:
    """The key of a frame's noise: one of its own, the same whenever the frame is asked for."""
    return zlib.crc32(f"{seed}/{camera}/{index}".encode())
