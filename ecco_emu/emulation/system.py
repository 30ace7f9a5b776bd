"""Builds everything a scenario needs, in order, and takes it down again whatever happened.

The order: worker processes (trainer, the cameras' inference, the world), this host's speed and with it
the dilation, the network, then the server and the cameras in it. ``System.run`` goes through the
scenario's retraining windows.
"""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import netns
from ecco_emu.camera.camera import Camera
from ecco_emu.camera.ports import CameraPorts
from ecco_emu.core.errors import EccoError, HostError
from ecco_emu.core.events import AnyEvent, Condition, RunStarted, Trouble
from ecco_emu.core.ids import CameraId, model_hash
from ecco_emu.emulation import live
from ecco_emu.emulation.accuracy import LiveAccuracy
from ecco_emu.emulation.calibration import HostSpeed, choose_dilation
from ecco_emu.emulation.clock import LoopLag, RunClock
from ecco_emu.emulation.faults import FaultInjector
from ecco_emu.emulation.manifest import manifest
from ecco_emu.emulation.meters import TRAFFIC_PERIOD_S, HealthMeter, ShareTargets, TrafficMeter
from ecco_emu.emulation.topology import SERVER, Replay, lab_spec, replays
from ecco_emu.policies.registry import make_policy, transmission_rule
from ecco_emu.report.qlog import QlogFolder
from ecco_emu.report.rundir import RunDirectory
from ecco_emu.scenario import schema
from ecco_emu.scenario.faults import timeline
from ecco_emu.server.models import ModelStore
from ecco_emu.server.ports import ServerPorts
from ecco_emu.server.server import EdgeServer
from ecco_emu.server.windows import RetrainingLoop
from ecco_emu.trainer.client import EdgeClient, TrainingClient
from ecco_emu.trainer.teacher import OracleTeacher, Teacher, YoloTeacher
from ecco_emu.transport.adapter import Listener, Peer, connect
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.telemetry import TelemetryFactory
from ecco_emu.world.base import World
from ecco_emu.world.town import open_world

SERVER_PORT = 4711
PRIORITY = -10
"""Niceness of this process while a run goes on."""
REAL_TIME = os.SCHED_RR | os.SCHED_RESET_ON_FORK
"""Of the event loop's thread alone, which sleeps most of the time: with every core busy, an ordinary
thread of any niceness can wait for the next clock tick. Threads and processes it starts do not inherit it."""
SWITCH_INTERVAL_S = 0.001
"""How long a thread may keep the interpreter's lock from the event loop."""

NETWORK_CHECK_WALL_S = 2.0

Emit = Callable[[AnyEvent], None]


@dataclass(slots=True)
class Workers:
    """The child processes, warm."""

    trainer: TrainingClient
    edge: EdgeClient
    world: World
    teacher: Teacher
    device: dict[str, Any]
    speed: HostSpeed


class System:
    """All parts of one run, wired together."""

    def __init__(
        self,
        scenario: schema.Scenario,
        student: bytes,
        workers: Workers,
        lab: netns.Lab,
        listener: Listener,
        clock: RunClock,
        models: ModelStore,
        emit: Emit,
        tokens: dict[str, bytes],
        qlog: QlogFolder | None = None,
    ) -> None:
        self.clock = clock
        self._qlog = qlog
        self.misses = 0
        self._scenario = scenario
        self._listener = listener
        self._lab = lab
        self._tokens = tokens
        self._world = workers.world
        self._emit = emit
        self._config = transport_config(scenario)
        self.targets = ShareTargets(scenario)
        self.injector = FaultInjector(
            lab,
            cameras=[camera.id for camera in scenario.cameras],
            scheduled=len(scenario.faults),
            clock=clock,
            dilation=clock.dilation,
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
        self._traffic = TrafficMeter(self.cameras, self.targets, clock, emit)
        self.lag = LoopLag()
        self.health = HealthMeter(self.lag, clock, emit, lambda: self.misses)
        ports = ServerPorts(
            clock=clock,
            trainer=workers.trainer,
            teacher=workers.teacher,
            emit=emit,
            received=self._traffic.received,
            missed_deadline=self._missed,
        )
        policy = make_policy(
            scenario.policy,
            gpus=scenario.trainer.gpus,
            micro_windows=scenario.windows.micro_per_window,
        )
        self._server = EdgeServer(scenario, policy, models, ports)
        self._windows = RetrainingLoop(scenario, policy, self._server, ports)

    async def run(self) -> None:
        """From emulated time 0 to the end of the last retraining window.

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
                self.lag.run(),
                self.health.run(),
                self._server.run(self._listener),
                *(camera.run() for camera in self.cameras),
                self._traffic.run(),
                self.accuracy.run(),
                self._tell_weather(),
                self.injector.run(timeline(self._scenario)),
                self._watch_network(),
            ]
            running = [tasks.create_task(part) for part in parts]
            await self._windows.run()
            await self.accuracy.measure()
            for task in running:
                task.cancel()
        self.health.report()
        if self._qlog is not None and self._qlog.left_out:
            text = f"{self._qlog.left_out} traces or parts of them were left out: folder full or disk slow"
            self._emit(Trouble(t=self.clock.now(), where="qlog", text=text))

    def _camera(self, camera: schema.Camera, student: bytes, workers: Workers) -> Camera:
        @asynccontextmanager
        async def dial() -> AsyncIterator[Peer]:
            with await self._lab.udp_socket(camera.id) as sock:
                server = (self._lab.address(SERVER), SERVER_PORT)
                telemetry = self._qlog.trace if self._qlog is not None else None
                async with dialled(
                    sock, server, camera.id, self._tokens[camera.id], self._config, self.clock, telemetry
                ) as peer:
                    yield peer

        ports = CameraPorts(
            clock=self.clock,
            source=workers.world,
            detector=workers.edge,
            connect=dial,
            emit=self._emit,
            observe=self.accuracy.observe,
            missed_deadline=self._missed,
        )
        rule = transmission_rule(self._scenario.policy.name, mapping=self._scenario.transport.mapping)
        return Camera(camera, self._scenario, student, rule, ports)

    def _missed(self, what: str) -> None:
        self.misses += 1

    async def _watch_network(self) -> None:
        """A network that others break ends the run, instead of looking like cameras that fell silent."""
        while True:
            await asyncio.sleep(NETWORK_CHECK_WALL_S)
            try:
                await self._lab.check()
            except netns.LabError as error:
                raise HostError(f"the network broke: {error}") from error

    async def _tell_weather(self) -> None:
        """Puts each camera's weather on record when it changes."""
        districts = {d.name: d for d in self._scenario.world.town.districts}
        changes = [
            (change.at, camera.id, district, change.is_)
            for camera in self._scenario.cameras
            for district in [self._world.district(CameraId(camera.id))]
            for change in districts[district].weather
        ]
        for at, camera_id, district, weather in sorted(changes):
            await self.clock.sleep_until(at)
            self._emit(Condition(t=at, camera=camera_id, district=district, weather=weather))


def _first(group: BaseExceptionGroup[EccoError]) -> EccoError:
    """The first error in a group of groups."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


@asynccontextmanager
async def dialled(
    sock: socket.socket,
    server: tuple[str, int],
    name: str,
    token: bytes,
    config: TransportConfig,
    clock: RunClock,
    telemetry: TelemetryFactory | None = None,
) -> AsyncIterator[Peer]:
    """A connection that is over, and off the event loop, before its socket is closed."""
    try:
        peer = await connect(
            sock, server, name=name, token=token, config=config, clock=clock, telemetry=telemetry
        )
        try:
            yield peer
        finally:
            await peer.close()
    finally:
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock)
        loop.remove_writer(sock)


def transport_config(scenario: schema.Scenario) -> TransportConfig:
    """The cameras' side. Policies with fixed transmission keep to their alpha (paper, section 5)."""
    rule = transmission_rule(scenario.policy.name, mapping=scenario.transport.mapping)
    follow_shares = rule.weight(1.0, 1) is not None
    settings = scenario.transport
    return TransportConfig(
        algorithm=settings.algorithm,
        beta=settings.beta,
        fixed_rate_bps=settings.fixed_rate,
        follow_shares=follow_shares,
    )


def download_config(scenario: schema.Scenario) -> TransportConfig:
    """The server's side: a camera's download is alone on its link, but for other cameras' at the server."""
    alpha = scenario.transport.download_alpha
    return TransportConfig(beta=scenario.transport.beta, alpha=alpha)


@asynccontextmanager
async def build(
    scenario: schema.Scenario,
    student: bytes,
    directory: RunDirectory,
    *,
    source: str,
    emit: Emit,
    progress: Callable[[str], None],
) -> AsyncIterator[System]:
    """Starts everything; whatever was started is stopped again when the context ends or fails.

    Raises ``HostError`` where this host cannot (privileges, a missing qdisc).
    """
    await require_privileges()
    async with AsyncExitStack() as stack:
        stack.enter_context(precedence())
        workers = await _start_workers(scenario, stack, progress)
        dilation = scenario.clock.dilation
        clock = RunClock(choose_dilation(scenario, workers.speed) if dilation == "auto" else dilation)
        progress(f"building the network (one emulated second lasts {clock.dilation:g} s)")
        lab = await stack.enter_async_context(open_lab(lab_spec(scenario, clock.dilation)))
        stack.enter_context(live.announced(directory.path, scenario.name, lab))
        replayed = replays(scenario, clock.dilation)
        models = ModelStore(directory.models)
        directory.write_manifest(
            manifest(
                scenario,
                source=source,
                engine=lab.engine,
                dilation=clock.dilation,
                device=workers.device,
                student=models.put(student),
                speeds=asdict(workers.speed),
            )
        )
        tokens = {camera.id: secrets.token_bytes(16) for camera in scenario.cameras}
        sock = stack.enter_context(await lab.udp_socket(SERVER, port=SERVER_PORT))
        qlog = stack.enter_context(QlogFolder(directory.qlog)) if scenario.transport.qlog else None
        telemetry = qlog.trace if qlog is not None else None
        listener = Listener(sock, tokens, download_config(scenario), clock, telemetry=telemetry)
        stack.push_async_callback(listener.close)
        await workers.trainer.add_model(model_hash(student), student)
        system = System(scenario, student, workers, lab, listener, clock, models, emit, tokens, qlog)
        gc.freeze()  # what is alive now stays: no collection need walk it while packets wait
        stack.callback(gc.unfreeze)
        clock.start()
        for replay in replayed:
            replay.begin(lab)
            if replay.sets_rate:
                system.targets.follow(replay.on, _last_second(replay, clock))
        emit(run_started(scenario, engine=lab.engine, dilation=clock.dilation))
        yield system


def _last_second(replay: Replay, clock: RunClock) -> Callable[[], float]:
    """A trace's rate as a meter sees it that reports every second."""

    def rate_bps() -> float:
        now = max(TRAFFIC_PERIOD_S, clock.now())
        return replay.mean_rate_bps(now - TRAFFIC_PERIOD_S, now)

    return rate_bps


async def require_privileges() -> None:
    capabilities = await netns.probe()
    if not capabilities.privileged:
        raise HostError(
            "a run makes network namespaces, which needs root: run it with sudo "
            "(`ecco-emu doctor` shows what this host can do)"
        )


@asynccontextmanager
async def open_lab(spec: netns.LabSpec) -> AsyncIterator[netns.Lab]:
    """The lab, with its errors told as this package tells them."""
    try:
        lab = netns.Lab(spec)
        await lab.__aenter__()
    except netns.LabError as error:
        raise HostError(f"the network could not be built: {error}") from error
    try:
        yield lab
    finally:
        await lab.__aexit__(None, None, None)


async def _start_workers(
    scenario: schema.Scenario, stack: AsyncExitStack, progress: Callable[[str], None]
) -> Workers:
    progress("starting the trainer, the cameras' inference and the world")
    trainer = TrainingClient(scenario.trainer, seed=scenario.seed)
    stack.push_async_callback(trainer.close)
    edge = EdgeClient()
    stack.push_async_callback(edge.close)
    world = open_world(scenario)
    stack.push_async_callback(world.close)
    device, _, _ = await asyncio.gather(trainer.start(), edge.start(), world.start())
    progress("measuring this host's speed")
    trained = await trainer.calibrate()
    speed = HostSpeed(
        train_images_per_s=trained.train_images_per_s,
        infer_images_per_s=trained.inference_images_per_s,
        edge_images_per_s=await edge.calibrate(),
        cores=len(os.sched_getaffinity(0)),
        trainer_threads=device.threads,
    )
    teacher = await _open_teacher(scenario, trainer, world)
    return Workers(trainer, edge, world, teacher, asdict(device), speed)


async def _open_teacher(scenario: schema.Scenario, trainer: TrainingClient, world: World) -> Teacher:
    if scenario.trainer.teacher == "oracle":
        sizes = {CameraId(camera.id): camera.source.size for camera in scenario.cameras}
        return OracleTeacher(world.labels, sizes.__getitem__)
    teacher = YoloTeacher(scenario.trainer.teacher, trainer)
    await teacher.start()
    return teacher


def run_started(scenario: schema.Scenario, *, engine: str, dilation: float) -> RunStarted:
    return RunStarted(
        t=0.0,
        name=scenario.name,
        policy=scenario.policy.name,
        engine=engine,
        dilation=dilation,
        seed=scenario.seed,
        trainer=scenario.trainer.backend,
        gpus=scenario.trainer.gpus,
        window_s=scenario.windows.length,
        micro_s=scenario.windows.micro,
        windows=scenario.windows.count,
        cameras=[camera.id for camera in scenario.cameras],
        bottleneck_bps=scenario.network.bottleneck.rate,
    )


@contextmanager
def precedence() -> Iterator[None]:
    """Makes this process outrank its workers, whose work can wait; packets and timers cannot.

    The threads that encode and decode are raised along with the event loop's (on Linux, niceness belongs
    to threads): one that is preempted while it holds the interpreter's lock would hold up the loop.
    """
    thread = threading.get_native_id()
    before = os.getpriority(os.PRIO_PROCESS, thread)
    switch_interval_s = sys.getswitchinterval()
    _outrank_workers()
    with suppress(PermissionError):
        os.sched_setscheduler(thread, REAL_TIME, os.sched_param(1))
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    executor = ThreadPoolExecutor(4, "ecco-emu", initializer=_outrank_workers)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(executor)
    try:
        yield
    finally:
        loop.set_default_executor(ThreadPoolExecutor())  # for whatever runs on this loop afterwards
        executor.shutdown(wait=False, cancel_futures=True)
        sys.setswitchinterval(switch_interval_s)
        with suppress(PermissionError):
            os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
            os.setpriority(os.PRIO_PROCESS, thread, before)


def _outrank_workers() -> None:
    """Raises the calling thread. Without CAP_SYS_NICE it stays; loop lag will tell whether it mattered."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PRIORITY)
