"""The server's connections to the rest of a run: the trainer, the teacher, and the record of events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ecco_emu.core.clock import Clock
from ecco_emu.core.events import AnyEvent, DeadlineMissed
from ecco_emu.trainer.backend import TrainerBackend
from ecco_emu.trainer.teacher import Teacher
from ecco_emu.video.codec import Codec


@dataclass(frozen=True, slots=True)
class ServerPorts:
    """The parts around the server; tests put small stand-ins in their place."""

    clock: Clock
    trainer: TrainerBackend
    teacher: Teacher
    emit: Callable[[AnyEvent], None]
    missed_deadline: Callable[[DeadlineMissed], None]
    """Told of a micro-window that ended after its time; such a run is ``degraded``."""
    codec: Codec
