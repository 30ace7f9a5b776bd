"""The student that all cameras of a run begin with, whichever trainer makes the next ones."""

from __future__ import annotations

from ecco_emu.scenario.profiles import student_path
from ecco_emu.scenario.sections.trainer import TrainerSection
from ecco_emu.trainer.curve.fit import load_fit
from ecco_emu.trainer.curve.student import first_student
from ecco_emu.trainer.weight_files import read_student


def read_first_student(trainer: TrainerSection) -> bytes:
    """Its file. Raises ``ScenarioError``, which names the file, where there is none."""
    if trainer.backend == "curve":
        return first_student(load_fit(trainer.student))
    return read_student(student_path(trainer.student))
