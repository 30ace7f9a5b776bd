"""Both engines' runs of several scenarios, compared in one report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ecco_emu.bench.engines.comparison import (
    EndGroups,
    ScenarioComparison,
    compare,
    scenario_table,
    summary_table,
)
from ecco_emu.bench.engines.figures import RunFigure
from ecco_emu.bench.engines.running import EngineRun, RunMaker, carry_out_missing
from ecco_emu.bench.host import describe
from ecco_emu.emulation import preflight
from ecco_emu.study.tables import Table

SCENARIOS = (
    "quickstart",
    "faults/uplink-flap",
    "faults/troubled-links",
    "traces",
    "town22",
    "fig11-capped",
)
"""The simple case, faults of links, a trace on every uplink, many cameras, and unequal shares."""


@dataclass(frozen=True, slots=True)
class EnginesOptions:
    scenarios: tuple[str, ...] = SCENARIOS
    runs: int = 3
    """Of each scenario on real links; simulated runs are all equal."""
    backend: str = "curve"
    dilation: str | float | None = None
    """Of the real runs; None: as the scenarios say."""
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EnginesReport:
    host: str
    backend: str
    results: Path
    compared: tuple[ScenarioComparison, ...]

    def tables(self) -> list[Table]:
        summary = summary_table(self.compared)
        title = f"{summary.title}, trainer {self.backend} ({self.host})"
        whole = Table(title, summary.headings, summary.rows, summary.notes)
        return [*map(scenario_table, self.compared), whole]

    def as_data(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "trainer": self.backend,
            "results": self.results,
            "scenarios": [_as_data(one) for one in self.compared],
        }


def _as_data(one: ScenarioComparison) -> dict[str, Any]:
    return {
        "scenario": one.scenario,
        "figures": [
            {
                "kind": figure.kind,
                "subject": figure.subject,
                "real": figure.real,
                "simulated": figure.simulated,
                "difference": figure.difference,
                "agrees": figure.agrees,
            }
            for figure in one.figures
        ],
        "real_groups": one.real_groups,
        "simulated_groups": one.simulated_groups,
        "same_groups": one.same_groups,
        "notes": one.notes,
    }


async def run(
    options: EnginesOptions, results: Path | None, progress: Callable[[str], None]
) -> EnginesReport:
    """Makes the runs that ``results`` lacks. Without the privileges for real links only simulated runs are
    made, and the report says so. Raises ``InvalidScenario`` before anything is run."""
    capabilities = await preflight.host()
    obstacle = capabilities.obstacle
    path = results or Path("runs") / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-engines.jsonl"
    maker = RunMaker(options.backend, options.dilation, options.overrides, path.with_suffix(""))
    real_runs = options.runs if obstacle is None else 0
    tasks = [task for one in options.scenarios for task in maker.tasks(one, real_runs=real_runs)]
    runs = await carry_out_missing(maker, tasks, path, progress)
    notes = [] if obstacle is None else [f"No real runs: this host builds no links ({obstacle})."]
    compared = tuple(
        compare_runs(name, [run for run in runs if run.scenario == name], notes)
        for name in dict.fromkeys(options.scenarios)
    )
    return EnginesReport(describe(capabilities), options.backend, path, compared)


def compare_runs(name: str, runs: Sequence[EngineRun], notes: Iterable[str] = ()) -> ScenarioComparison:
    """Runs that do not count are left out, and named in notes."""
    counted = [run for run in runs if run.counts]
    left_out = [
        f"Left out: {'real run ' + str(run.number + 1) if run.side == 'real' else 'the simulated run'}, "
        f"{run.status}: {run.text}"
        for run in runs
        if not run.counts
    ]
    real = [_sides(run) for run in counted if run.side == "real"]
    simulated = next((_sides(run) for run in counted if run.side == "simulated"), None)
    return compare(name, real, simulated, [*notes, *left_out])


def _sides(run: EngineRun) -> tuple[list[RunFigure], EndGroups]:
    return run.figures, tuple(tuple(members) for members in run.groups)
