"""A run's child processes: the trainer, the cameras' inference and the world, started warm and measured."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any

from ecco_emu.core.ids import CameraId
from ecco_emu.emulation.calibration import HostSpeed
from ecco_emu.scenario import schema
from ecco_emu.trainer.backend import TeacherHost, TrainerBackend
from ecco_emu.trainer.client import InferenceClient, TrainingClient
from ecco_emu.trainer.teacher import OracleTeacher, Teacher, YoloTeacher
from ecco_emu.world.open import open_world
from ecco_emu.world.source import World


@dataclass(slots=True)
class Workers:
    """The child processes, warm."""

    trainer: TrainerBackend
    inference: InferenceClient
    """Of the cameras; the edge server has no part in it."""
    world: World
    teacher: Teacher
    device: dict[str, Any]
    """The fields of ``DeviceInfo``, for the manifest."""
    speed: HostSpeed


async def start_workers(
    scenario: schema.Scenario, stack: AsyncExitStack, progress: Callable[[str], None]
) -> Workers:
    """Starts all of a run's child processes and measures this host's speed with them.

    ``stack`` gets the calls that close them, so that they end with the run even when a later one fails to
    start.
    """
    progress("starting the trainer, the cameras' inference and the world")
    trainer = TrainingClient(scenario.trainer, seed=scenario.seed)
    stack.push_async_callback(trainer.close)
    inference = InferenceClient()
    stack.push_async_callback(inference.close)
    world = open_world(scenario)
    stack.push_async_callback(world.close)
    device, _, _ = await asyncio.gather(trainer.start(), inference.start(), world.start())
    progress("measuring this host's speed")
    # one after the other: a measurement beside another would find a slower host than a run does
    trained = await trainer.calibrate()
    speed = HostSpeed(
        train_images_per_s=trained.train_images_per_s,
        infer_images_per_s=trained.inference_images_per_s,
        edge_images_per_s=await inference.calibrate(),
        cores=len(os.sched_getaffinity(0)),
        trainer_threads=device.threads,
    )
    teacher = await _open_teacher(scenario, trainer, world)
    return Workers(trainer, inference, world, teacher, asdict(device), speed)


async def _open_teacher(scenario: schema.Scenario, trainer: TeacherHost, world: World) -> Teacher:
    if scenario.trainer.teacher == "oracle":
        sizes = {CameraId(camera.id): camera.source.size for camera in scenario.cameras}
        return OracleTeacher(world.labels, sizes.__getitem__)
    teacher = YoloTeacher(scenario.trainer.teacher, trainer)
    await teacher.start()
    return teacher
