"""Carries out the runs of ``bench engines``, and keeps their figures in a file from which it goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from ecco_emu.bench.engines.figures import RunFigure, figures_of, groups_of
from ecco_emu.core.errors import EccoError
from ecco_emu.emulation import checking
from ecco_emu.emulation.emulation import Emulation
from ecco_emu.record import verdict
from ecco_emu.scenario.dump import dump
from ecco_emu.scenario.loading import LoadedScenario
from ecco_emu.scenario.schema import Scenario
from ecco_emu.study import records

Side = Literal["real", "simulated"]
COUNTED = ("ok", "failed")
"""States of runs that are compared. An expectation that failed spoils no figure; a slow host does."""
ERROR = "error"
"""In place of a run's status: it ended in an error."""


@dataclass(frozen=True, slots=True)
class EngineTask:
    """A run to be made."""

    scenario: str
    """The scenario's name or path."""
    side: Side
    number: int
    """From 0. Real runs of one seed differ by chance."""
    digest: str
    """Of the scenario as it runs, with every value: results of another are not taken for this one's."""


class EngineRun(msgspec.Struct, frozen=True):
    """The result of a run, a line of the results' file."""

    scenario: str
    side: Side
    number: int
    digest: str
    status: str
    """The run's, or ``error``."""
    text: str
    """Why the run does not count; empty if it does."""
    directory: str
    """The run's directory; empty where it did not come so far."""
    figures: list[RunFigure] = []
    groups: list[list[str]] = []

    @property
    def counts(self) -> bool:
        return self.status in COUNTED

    @property
    def task(self) -> EngineTask:
        return EngineTask(self.scenario, self.side, self.number, self.digest)


@dataclass(frozen=True, slots=True)
class RunMaker:
    """How the runs of a study are made: options of the command, the same for all."""

    backend: str
    dilation: str | float | None
    overrides: tuple[str, ...]
    folder: Path
    """Where their run directories go."""

    def load(self, scenario: str, side: Side) -> LoadedScenario:
        """Raises ``InvalidScenario``."""
        return checking.load(
            scenario,
            [f"trainer.backend={self.backend}", *self.overrides],
            dilation=self.dilation if side == "real" else None,
            engine="simulated" if side == "simulated" else None,
        )

    def tasks(self, scenario: str, *, real_runs: int) -> list[EngineTask]:
        """The simulated run comes first: it is the cheaper one to fail."""
        wanted: list[tuple[Side, int]] = [
            ("simulated", 0),
            *(("real", number) for number in range(real_runs)),
        ]
        return [
            EngineTask(scenario, side, number, _digest(self.load(scenario, side))) for side, number in wanted
        ]

    async def carry_out(self, task: EngineTask) -> EngineRun:
        """Errors that are the run's or the host's are its result."""
        loaded = self.load(task.scenario, task.side)
        emulation = Emulation(loaded.scenario, source=task.scenario, out=self.folder)
        try:
            async with emulation:
                status = await emulation.finish()
        except EccoError as error:
            return _result(task, emulation, ERROR, str(error))
        why = "" if status in COUNTED else "; ".join(verdict.told(verdict.recorded(emulation.summary())))
        return _result(task, emulation, status, why)


async def carry_out_missing(
    maker: RunMaker,
    tasks: Sequence[EngineTask],
    results: Path,
    progress: Callable[[str], None],
) -> list[EngineRun]:
    """The results of all tasks: those that the file has, and the others, which are appended to it.

    Runs that do not count are made again. Raises ``ScenarioError`` for a file of something else.
    """
    known = _known(results)
    missing = records.missing(tasks, known, lambda run: run.task if run.counts else None)
    made: list[EngineRun] = []
    with records.Writer[EngineRun](results) as writer:
        for done, task in enumerate(missing):
            which = f"real run {task.number + 1}" if task.side == "real" else "simulated"
            progress(f"{task.scenario}: {which} ({done} of {len(missing)} runs done)")
            made.append(await maker.carry_out(task))
            writer.write(made[-1])
    return newest(tasks, [*known, *made])


def _known(results: Path) -> list[EngineRun]:
    return records.load(results, EngineRun) if results.exists() else []


def newest(tasks: Iterable[EngineTask], runs: Iterable[EngineRun]) -> list[EngineRun]:
    """The newest result of each task; one that counts goes before one that does not."""
    found: dict[EngineTask, EngineRun] = {}
    for run in runs:
        if run.counts or run.task not in found or not found[run.task].counts:
            found[run.task] = run
    return [found[task] for task in tasks if task in found]


def _result(task: EngineTask, emulation: Emulation, status: str, text: str) -> EngineRun:
    metrics = emulation.summary()
    try:
        directory = str(emulation.directory)
    except EccoError:
        directory = ""
    return EngineRun(
        scenario=task.scenario,
        side=task.side,
        number=task.number,
        digest=task.digest,
        status=status,
        text=text,
        directory=directory,
        figures=figures_of(metrics, _traced(emulation.scenario)),
        groups=groups_of(metrics),
    )


def _traced(scenario: Scenario) -> set[str]:
    whole = scenario.network.bottleneck.trace is not None
    return {camera.id for camera in scenario.cameras if whole or scenario.uplink_of(camera).trace is not None}


def _digest(loaded: LoadedScenario) -> str:
    return hashlib.sha256(dump(loaded.scenario).encode()).hexdigest()[:16]
