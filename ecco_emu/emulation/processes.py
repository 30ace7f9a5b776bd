"""A run's child processes: the trainer, the cameras' inference and the world, started warm and measured.

That is how runs with ``backend: yolo`` compute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict

from ecco_emu.core.ids import CameraId, model_hash
from ecco_emu.emulation import limits
from ecco_emu.emulation.calibration import Expected, choose_dilation, drifting
from ecco_emu.emulation.rehearsal import RehearsalPicture, rehearse, take_pictures
from ecco_emu.emulation.workers import Workers
from ecco_emu.host.warm import OpenWorker
from ecco_emu.scenario import schema
from ecco_emu.trainer.backend import DeviceInfo, TeacherHost
from ecco_emu.trainer.client import InferenceClient, TrainingClient
from ecco_emu.trainer.teacher import OracleTeacher, Teacher, YoloTeacher
from ecco_emu.video.h264 import H264Codec
from ecco_emu.world.open import open_world
from ecco_emu.world.source import World


async def start_processes(
    scenario: schema.Scenario,
    student: bytes,
    stack: AsyncExitStack,
    progress: Callable[[str], None],
    open_worker: OpenWorker,
) -> Workers:
    """Starts all of a run's child processes, gives them its first student, and settles the dilation.

    Nothing is measured where the scenario gives the dilation. ``stack`` gets the calls that close the
    processes, so that they end with the run even when a later one fails to start. ``open_worker`` makes the
    processes, or brings those of an earlier run.
    """
    progress("starting the trainer, the cameras' inference and the world")
    trainer = TrainingClient(
        scenario.trainer,
        seed=scenario.seed,
        evidence_s=scenario.windows.length,
        threads=scenario.training_threads,
        open_worker=open_worker,
    )
    stack.push_async_callback(trainer.close)
    inference = InferenceClient(open_worker=open_worker)
    stack.push_async_callback(inference.close)
    world = open_world(scenario, open_worker)
    stack.push_async_callback(world.close)
    # the pictures are taken while the other two still import torch
    (device, teacher), _, pictures = await asyncio.gather(
        _start_trainer(scenario, trainer, student, world),
        _start_inference(inference, student),
        _start_world(scenario, world),
    )
    speed = None
    dilation = scenario.dilation
    if dilation == "auto":
        progress("measuring this host's speed")
        expected = Expected(drifting(scenario, world), len(student))
        speed = await rehearse(
            scenario, pictures, model_hash(student), trainer, inference, world, device.threads, expected
        )
        dilation = choose_dilation(scenario, speed, expected)
        limits.require(scenario, dilation)
    return Workers(trainer, inference, world, teacher, H264Codec(), asdict(device), dilation, speed)


async def _start_trainer(
    scenario: schema.Scenario, trainer: TrainingClient, student: bytes, world: World
) -> tuple[DeviceInfo, Teacher]:
    device = await trainer.start()
    await trainer.add_model(model_hash(student), student)
    # before anything is measured: weights that are no teacher end the run here
    return device, await _open_teacher(scenario, trainer, world)


async def _start_inference(inference: InferenceClient, student: bytes) -> None:
    await inference.start()
    # the run is a user of its own: the student that all cameras begin with is built before they ask for it
    await inference.add_model(model_hash(student), student)


async def _start_world(scenario: schema.Scenario, world: World) -> Sequence[RehearsalPicture]:
    await world.start()
    return await take_pictures(scenario, world) if scenario.dilation == "auto" else ()


async def _open_teacher(scenario: schema.Scenario, trainer: TeacherHost, world: World) -> Teacher:
    if scenario.trainer.teacher == "oracle":
        sizes = {CameraId(camera.id): camera.source.size for camera in scenario.cameras}
        return OracleTeacher(world.labels, sizes.__getitem__)
    teacher = YoloTeacher(scenario.trainer.teacher, trainer)
    await teacher.start()
    return teacher
