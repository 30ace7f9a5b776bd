"""All that computes in a run beside its network: the trainer, the cameras' inference, the world, the codec.

With ``backend: yolo`` they are child processes (``processes``), with ``backend: curve`` models in this
process (``modelled``). Each brings libraries that the other one's runs never load.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from ecco_emu.core.frames import Image
from ecco_emu.core.ids import ModelHash
from ecco_emu.emulation.calibration import HostSpeed
from ecco_emu.host.warm import OpenWorker
from ecco_emu.scenario import schema
from ecco_emu.tasks.detection import Detections
from ecco_emu.trainer.backend import LIVE_MIN_SCORE, TrainerBackend
from ecco_emu.trainer.teacher import Teacher
from ecco_emu.video.codec import Codec
from ecco_emu.world.source import World


class StudentInference(Protocol):
    """Runs students: for the cameras in a run, and after it to measure them."""

    async def add_model(self, model: ModelHash, weights: bytes) -> None: ...

    async def remove_model(self, model: ModelHash) -> None: ...

    async def detect(
        self,
        model: ModelHash,
        images: Sequence[Image],
        *,
        size: tuple[int, int] | None = None,
        min_score: float = LIVE_MIN_SCORE,
    ) -> list[Detections]: ...


@dataclass(slots=True)
class Workers:
    """The parts of one run that compute, ready to work."""

    trainer: TrainerBackend
    inference: StudentInference
    """Of the cameras; the edge server has no part in it."""
    world: World
    teacher: Teacher
    codec: Codec
    device: dict[str, Any]
    """The fields of ``DeviceInfo``, for the manifest."""
    dilation: float
    speed: HostSpeed | None
    """What the dilation was worked out from; None where nothing was measured."""


async def start_workers(
    scenario: schema.Scenario,
    student: bytes,
    stack: AsyncExitStack,
    progress: Callable[[str], None],
    open_worker: OpenWorker,
) -> Workers:
    """Makes all of them ready, gives them the run's first student, and settles the dilation.

    ``stack`` gets the calls that close them, so that they end with the run even when a later one fails to
    start. ``open_worker`` makes child processes, or brings those of an earlier run.
    """
    if scenario.trainer.backend == "curve":
        from ecco_emu.emulation.modelled import start_models

        return await start_models(scenario, student, stack)
    from ecco_emu.emulation.processes import start_processes

    return await start_processes(scenario, student, stack, progress, open_worker)
