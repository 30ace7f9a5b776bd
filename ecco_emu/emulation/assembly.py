"""Builds everything a scenario needs, in order, and takes it down again, after a failure too.

The order: worker processes (trainer, the cameras' inference, the world), this host's speed and with it
the dilation, the network, then the server and the cameras in it (``system``).
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import replace
from typing import Any

import netns
from ecco_emu.core.events import RunStarted, Trouble
from ecco_emu.emulation.captures import begin_captures
from ecco_emu.emulation.connections import SERVER_PORT
from ecco_emu.emulation.ground import Ground
from ecco_emu.emulation.lab_errors import lab_errors
from ecco_emu.emulation.live import runs
from ecco_emu.emulation.manifest import manifest
from ecco_emu.emulation.meters import TRAFFIC_PERIOD_S, watched_host
from ecco_emu.emulation.system import Emit, System
from ecco_emu.emulation.topology import SERVER, Replay, lab_spec, replays
from ecco_emu.emulation.workers import start_workers
from ecco_emu.host.clock import RunClock
from ecco_emu.host.priorities import raised_priority
from ecco_emu.host.warm import OpenWorker
from ecco_emu.policies.steering import server_config
from ecco_emu.record.host_log import HostLog
from ecco_emu.record.qlog import QlogFolder
from ecco_emu.record.rundir import RunDirectory
from ecco_emu.scenario import schema
from ecco_emu.server.models import ModelStore
from ecco_emu.trainer.charged import Charged
from ecco_emu.transport.adapter import Listener

_NOT_BUILT = "the network could not be built"


@asynccontextmanager
async def build(
    scenario: schema.Scenario,
    student: bytes,
    directory: RunDirectory,
    *,
    source: str,
    caveats: Sequence[str],
    emit: Emit,
    progress: Callable[[str], None],
    open_worker: OpenWorker,
    capture: bool = False,
    replay_of: Mapping[str, Any] | None = None,
) -> AsyncIterator[System]:
    """Starts everything. All that was started is stopped again when the context ends or fails.

    With ``capture`` the packets of all nodes are written to the directory's pcap/.

    ``caveats`` are the answer of ``preflight``. Raises ``HostError`` where this host cannot all the same.
    """
    async with AsyncExitStack() as stack:
        live = stack.enter_context(
            runs.announced(
                directory.path,
                name=scenario.name,
                policy=scenario.policy.name,
                duration_s=scenario.windows.duration_s,
            )
        )
        # before anything is started: children inherit no priority (they are told theirs), threads would
        if not scenario.simulated:  # whose clock waits for the host
            stack.enter_context(raised_priority())
        async with _late_imports(scenario):
            workers = await start_workers(scenario, student, stack, progress, open_worker)
        ground = Ground.of(scenario)
        clock = ground.clock(workers.dilation)
        # virtual time must not see the host's speed, and a model would be done at once
        if ground.simulated or scenario.trainer.backend == "curve":
            took = await _host_log(directory, clock, stack) if ground.simulated else _nothing
            trainer = Charged(workers.trainer, scenario.trainer, clock, took)
            workers = replace(workers, trainer=trainer)
        progress(f"building the network (one emulated second lasts {clock.dilation:g} s)")
        # off the loop, like everything that reads traces: a long one takes a second
        spec, replayed = await asyncio.to_thread(_network, scenario, clock.dilation)
        lab = await stack.enter_async_context(open_lab(spec))
        if not ground.simulated:
            live.has_network(lab)
        models = ModelStore(directory.models)
        directory.write_manifest(
            manifest(
                scenario,
                source=source,
                engine=lab.engine,
                dilation=clock.dilation,
                device=workers.device,
                student=models.put(student, pinned=True),
                speed=workers.speed,
                caveats=caveats,
                replay_of=replay_of,
            )
        )
        tokens = {camera.id: ground.entropy(16) for camera in scenario.cameras}
        endpoint = await stack.enter_async_context(ground.endpoint(lab, SERVER, SERVER_PORT))
        qlog = stack.enter_context(QlogFolder(directory.qlog)) if scenario.transport.qlog else None
        telemetry = qlog.trace if qlog is not None else None
        listener = Listener(
            endpoint,
            tokens,
            server_config(scenario.transport),
            clock,
            telemetry=telemetry,
            entropy=ground.entropy,
        )
        stack.push_async_callback(listener.close)
        nodes = [SERVER, *(camera.id for camera in scenario.cameras)]
        captures = await begin_captures(lab, directory.pcap, nodes, clock) if capture else None
        system = System(
            scenario, student, workers, lab, listener, ground, clock, models, emit, tokens, qlog, captures
        )
        # everything alive now lives as long as the run: no collection need walk it while packets wait
        gc.freeze()
        stack.callback(gc.unfreeze)
        clock.start()  # emulated time 0 is here, after everything slow
        for replay in replayed:
            replay.begin(lab)
            if replay.sets_rate:
                system.targets.follow(replay.on, _last_second(replay, clock))
        emit(run_started(scenario, engine=lab.engine, dilation=clock.dilation))
        for caveat in caveats:
            emit(Trouble(t=0.0, where="host", text=caveat))
        yield system


async def _host_log(
    directory: RunDirectory, clock: RunClock, stack: AsyncExitStack
) -> Callable[[str, float], None]:
    """Begins host.jsonl; it gets the work that it is told of, and the host's memory."""
    log = stack.enter_context(closing(HostLog(directory.host_path)))
    await stack.enter_async_context(watched_host(log, clock))
    return lambda work, wall_s: log.note(clock.now(), work=work, wall_s=wall_s)


def _nothing(work: str, wall_s: float) -> None:
    """On a real clock, the times of the host's work stand in the events."""


def _network(scenario: schema.Scenario, dilation: float) -> tuple[netns.LabSpec, list[Replay]]:
    with lab_errors(_NOT_BUILT):
        return lab_spec(scenario, dilation), replays(scenario, dilation)


@asynccontextmanager
async def _late_imports(scenario: schema.Scenario) -> AsyncIterator[None]:
    """Imports the modules that a run needs only later, during the block, in which its processes start.

    Later would be too late: an import in the run holds up the event loop for as long as it takes. A simulated
    run's clock stands still meanwhile, so it imports them when it needs them: a short one never does.
    """
    if scenario.simulated:
        yield
        return
    late = asyncio.create_task(asyncio.to_thread(_import_late, scenario))
    try:
        yield
    finally:
        await late


def _import_late(scenario: schema.Scenario) -> None:
    import scipy.special  # noqa: F401 - decisions with confidence (``control.evidence``)

    import netns.lab  # noqa: F401

    if scenario.drift.detector != "oracle":
        import river.drift  # noqa: F401


def _last_second(replay: Replay, clock: RunClock) -> Callable[[], float]:
    """A traced link's mean rate over the last second, which is the period that the traffic meter reports
    on."""

    def rate_bps() -> float:
        now = max(TRAFFIC_PERIOD_S, clock.now())
        return replay.mean_rate_bps(now - TRAFFIC_PERIOD_S, now)

    return rate_bps


@asynccontextmanager
async def open_lab(spec: netns.LabSpec) -> AsyncIterator[netns.Lab]:
    """The lab for the time of the block. Raises ``HostError`` where the host cannot build it, and an error of
    ours in place of every one of the lab's that leaves the block."""
    lab = netns.Lab(spec)
    with lab_errors(_NOT_BUILT):
        await lab.__aenter__()
    with lab_errors("the network failed"):
        try:
            yield lab
        finally:
            await lab.__aexit__(None, None, None)


def run_started(scenario: schema.Scenario, *, engine: str, dilation: float) -> RunStarted:
    """The first event of a run: the facts of the scenario that every reader of the log needs."""
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
        response_threshold=scenario.record.response_threshold,
        response_measurements=scenario.record.response_measurements,
    )
