"""All parts of one run, wired together; ``System.run`` goes through the scenario's retraining windows."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import netns
from ecco_emu.camera.camera import Camera
from ecco_emu.camera.ports import CameraPorts
from ecco_emu.core.errors import EccoError
from ecco_emu.core.events import AnyEvent, Condition, DeadlineMissed, Trouble
from ecco_emu.core.ids import CameraId, ModelHash
from ecco_emu.emulation.accuracy import LiveAccuracy
from ecco_emu.emulation.captures import Captures
from ecco_emu.emulation.connections import SERVER_PORT, dialled
from ecco_emu.emulation.ground import Ground
from ecco_emu.emulation.injector import FaultInjector
from ecco_emu.emulation.lab_errors import lab_errors
from ecco_emu.emulation.measuring import Measured, Sight, StudentFiles, StudentMeter, run_stretches
from ecco_emu.emulation.meters import HealthMeter, MeteredListener, ShareTargets, TrafficMeter
from ecco_emu.emulation.topology import SERVER
from ecco_emu.emulation.workers import Workers
from ecco_emu.host.clock import RunClock
from ecco_emu.host.loop_lag import LoopLag
from ecco_emu.host.virtual_time import in_background
from ecco_emu.policies.registry import make_policy
from ecco_emu.policies.steering import camera_config
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.qlog import QlogFolder
from ecco_emu.scenario import schema
from ecco_emu.scenario.faults.timeline import timeline
from ecco_emu.scenario.sections.cameras import CameraSection
from ecco_emu.server.models import ModelStore
from ecco_emu.server.ports import ServerPorts
from ecco_emu.server.server import EdgeServer
from ecco_emu.server.windows import RetrainingLoop
from ecco_emu.transport.adapter import Listener, Peer

NETWORK_CHECK_WALL_S = 2.0

Emit = Callable[[AnyEvent], None]


class System:
    """All parts of one run, wired together."""

    def __init__(
        self,
        scenario: schema.Scenario,
        student: bytes,
        workers: Workers,
        lab: netns.Lab,
        listener: Listener,
        ground: Ground,
        clock: RunClock,
        models: ModelStore,
        emit: Emit,
        tokens: dict[str, bytes],
        qlog: QlogFolder | None = None,
        captures: Captures | None = None,
    ) -> None:
        self.clock = clock
        self._ground = ground
        self._qlog = qlog
        self._captures = captures
        self.misses = 0
        self._scenario = scenario
        self._listener = MeteredListener(listener.accept)
        self._lab = lab
        self._tokens = tokens
        self._world = workers.world
        self._inference = workers.inference
        self._emit = emit
        policy = make_policy(scenario.policy.name, scenario.policy_setup)
        self._rule = policy.transmission
        self.targets = ShareTargets(scenario)
        self.injector = FaultInjector(
            lab,
            cameras=[camera.id for camera in scenario.cameras],
            scheduled=len(scenario.faults),
            clock=clock,
            emit=emit,
        )
        self.accuracy = LiveAccuracy(
            clock=clock,
            labels=workers.world.labels,
            settled=workers.world.settled,
            emit=emit,
            period_s=scenario.windows.micro,
        )
        self.cameras = [self._camera(camera, student, workers) for camera in scenario.cameras]
        self._traffic = TrafficMeter(self.cameras, self.targets, clock, emit, self._listener.video_bytes)
        self.lag = LoopLag()
        self.health = HealthMeter(self.lag, clock, emit, lambda: self.misses)
        ports = ServerPorts(
            clock=clock,
            trainer=workers.trainer,
            teacher=workers.teacher,
            emit=emit,
            missed_deadline=self._missed,
            codec=workers.codec,
        )
        self._server = EdgeServer(scenario, policy, models, ports)
        self._windows = RetrainingLoop(scenario, policy, self._server, ports)

    async def run(self) -> None:
        """Goes from emulated time 0 to the end of the last retraining window.

        Raises ``HostError`` or another error of ours when the network or the scenario's faults fail.
        """
        try:
            await self._run()
        except BaseExceptionGroup as group:
            ours = group.subgroup(EccoError)
            if ours is None:
                raise
            raise _first(ours) from group

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            parts: list[Coroutine[Any, Any, None]] = [
                self._server.run(self._listener),
                *(camera.run() for camera in self.cameras),
                self._tell_conditions(),
                self.injector.run(timeline(self._scenario)),
            ]
            meters = [self._traffic.run(), self.accuracy.run(), self._watch_network()]
            if not self._ground.simulated:  # the host's speed is no part of a simulated run
                meters += [self.lag.run(), self.health.run()]
            running = [tasks.create_task(part) for part in (*parts, *map(in_background, meters))]
            await self._windows.run()
            await self.accuracy.measure()  # a run that is not measured afterwards ends with a glimpse
            for task in running:  # cameras, server and meters know no end of their own
                task.cancel()
        if not self._ground.simulated:
            self.health.report()
        await self._end_captures()
        if self._qlog is not None and self._qlog.left_out:
            text = f"{self._qlog.left_out} traces or parts of them were left out: folder full or disk slow"
            self._emit(Trouble(t=self.clock.now(), where="qlog", text=text))

    async def _end_captures(self) -> None:
        if self._captures is None:
            return
        await self._captures.stop()
        if self._captures.left_out:
            text = f"{self._captures.left_out} packets were left out: file full or disk slow"
            self._emit(Trouble(t=self.clock.now(), where="pcap", text=text))

    async def measure(
        self,
        metrics: RunMetrics,
        first: ModelHash,
        files: StudentFiles,
        end: float,
        progress: Callable[[int, int], None],
    ) -> Measured:
        """Measures every student that a camera ran, after the run, which ended at emulated ``end``.

        ``first`` is the student that all cameras began with.
        """
        sights = {
            CameraId(camera.id): Sight(camera.source.fps, camera.source.infer_size)
            for camera in self._scenario.cameras
        }
        plan = run_stretches(metrics, self._world, first, list(sights), end)
        return await StudentMeter(self._world, self._inference, files, sights).measure(plan, end, progress)

    async def counters(self) -> Mapping[str, netns.LinkCounters]:
        """The counters of every link, by node."""
        return await self._lab.counters()

    def _camera(self, camera: CameraSection, student: bytes, workers: Workers) -> Camera:
        uplink_bps = self._scenario.uplink_of(camera).rate or math.inf
        config = camera_config(self._scenario.transport, self._rule, uplink_bps=uplink_bps)

        @asynccontextmanager
        async def dial() -> AsyncIterator[Peer]:
            async with (
                self._ground.endpoint(self._lab, camera.id) as endpoint,
                dialled(
                    endpoint,
                    (self._lab.address(SERVER), SERVER_PORT),
                    camera.id,
                    self._tokens[camera.id],
                    config,
                    self.clock,
                    self._ground.entropy,
                    self._qlog.trace if self._qlog is not None else None,
                ) as peer,
            ):
                yield peer

        ports = CameraPorts(
            clock=self.clock,
            source=workers.world,
            detector=workers.inference,
            connect=dial,
            emit=self._emit,
            observe=self.accuracy.observe,
            missed_deadline=self._missed,
            codec=workers.codec,
        )
        return Camera(camera, self._scenario, student, self._rule, ports)

    def _missed(self, event: DeadlineMissed) -> None:
        if self._ground.simulated:  # the scenario's GPUs took longer than they have, which no host can mend
            return
        self.misses += 1
        self._emit(event)

    async def _watch_network(self) -> None:
        """A network that others break ends the run, instead of looking like cameras that fell silent."""
        while True:
            await asyncio.sleep(NETWORK_CHECK_WALL_S)
            with lab_errors("the network broke"):
                await self._lab.check()

    async def _tell_conditions(self) -> None:
        """Puts each camera's condition on record when it changes. Cameras that change at once go by name."""
        changes = [
            (change.t, camera.id, change)
            for camera in self._scenario.cameras
            for change in self._world.condition_changes(CameraId(camera.id))
        ]
        for t, camera_id, change in sorted(changes):
            await self.clock.sleep_until(t)
            self._emit(Condition(t=t, camera=camera_id, district=change.place, weather=change.condition))


def _first(group: BaseExceptionGroup[EccoError]) -> EccoError:
    """The first error in a group of groups."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
