"""Loads scenarios with every check that needs no run: the scenario's own, the link lab's, the files'."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ecco_emu.core.errors import ScenarioError
from ecco_emu.emulation import limits
from ecco_emu.emulation.first_student import read_first_student
from ecco_emu.emulation.topology import trace_problem
from ecco_emu.scenario import loading
from ecco_emu.scenario.problems import Finding, InvalidScenario, Problem
from ecco_emu.scenario.schema import Scenario
from ecco_emu.scenario.sections.trainer import TrainerSection
from ecco_emu.scenario.semantics import Draft
from ecco_emu.trainer.weight_files import inspect_teacher
from ecco_emu.world.town.sightings import blind_cameras


def load(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    seed: int | None = None,
    dilation: str | float | None = None,
    policy: str | None = None,
    engine: str | None = None,
    files: bool = True,
) -> loading.LoadedScenario:
    """As ``loading.load``, with every check. Raises ``InvalidScenario`` with every problem there is."""
    return loading.load(path, overrides, seed, dilation, policy, engine, files=files, checks=_Checks())


def examine(
    paths: Iterable[str | os.PathLike[str]],
    overrides: Sequence[str] = (),
    *,
    seed: int | None = None,
    dilation: str | float | None = None,
    policy: str | None = None,
    engine: str | None = None,
) -> list[Problem]:
    """Every problem in these files, and the warnings of those that can run."""
    problems: list[Problem] = []
    for path in paths:
        try:
            problems += load(
                path, overrides, seed=seed, dilation=dilation, policy=policy, engine=engine
            ).warnings
        except InvalidScenario as error:
            problems += error.problems
    return problems


class _Checks:
    """``scenario.semantics.Checks``: all that the packages below the emulation know."""

    def findings(self, draft: Draft, *, files: bool) -> Iterator[Finding]:
        if files:
            yield from _traces(draft)
            if draft.trainer is not None:
                yield from _weights(draft.trainer)
        yield from limits.findings(draft)

    def cautions(self, scenario: Scenario) -> Iterator[Finding]:
        for index in blind_cameras(scenario):
            yield (
                ("cameras", index, "source", "look_at"),
                "no car, truck or pedestrian is ever seen there: look along a street, at most some 40 m away "
                "('ecco-emu world' draws a map and the cameras' views)",
            )


def _traces(draft: Draft) -> Iterator[Finding]:
    for path, shape in draft.traced().items():
        problem = trace_problem(shape)
        if problem is not None:
            yield (*path, "trace"), problem


def _weights(trainer: TrainerSection) -> Iterator[Finding]:
    try:
        read_first_student(trainer)
    except ScenarioError as error:
        yield ("trainer", "student"), str(error)
    if trainer.teacher != "oracle" and trainer.backend == "yolo":
        try:
            inspect_teacher(Path(trainer.teacher))
        except ScenarioError as error:
            yield ("trainer", "teacher"), str(error)
