"""A recorded run once more, under another policy: its scenario in virtual time, with the trainer ``curve``.

Nothing of the recorded run's frames is copied: a frame follows from the scenario, the camera and its index.
So a run that trained for an hour is tried under another policy in seconds, in a model of its training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.events import RunStarted
from ecco_emu.emulation import checking
from ecco_emu.emulation.emulation import Emulation
from ecco_emu.emulation.manifest import MANIFEST_VERSION
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.rundir import RunDirectory
from ecco_emu.scenario import loading, profiles
from ecco_emu.scenario.schema import Scenario

STUDENT_KEY = "trainer.student="


@dataclass(frozen=True, slots=True)
class ReplayedRun:
    """The run that is replayed, as the replay's manifest names it."""

    directory: str
    """The name of its directory, without the folders above."""
    policy: str
    trainer: str
    engine: str
    seed: int

    def told(self) -> str:
        return f"{self.directory} (policy {self.policy}, trainer {self.trainer}, engine {self.engine})"


@dataclass(frozen=True, slots=True)
class RunReplay:
    """A replay that has not begun."""

    recorded: ReplayedRun
    emulation: Emulation
    cautions: tuple[str, ...]
    """In sentences, what of the recorded run is not in the replay."""


def prepare(
    run: Path,
    *,
    policy: str | None = None,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    out: Path | str = "runs",
    progress: Callable[[str], None] | None = None,
) -> RunReplay:
    """A replay of the run in directory ``run``: under its own policy and seed, unless others are given.

    ``overrides`` are texts ``dotted.path=value``; they win over the recorded scenario's values. Raises
    ``ScenarioError`` for a run that cannot be replayed.
    """
    directory = RunDirectory.open(run)
    metrics = _recorded(directory)
    assert metrics.started is not None
    scenario = loading.load(directory.scenario_path, files=False).scenario
    replaced, cautions = _replaced(scenario, overrides)
    loaded = checking.load(
        directory.scenario_path, [*replaced, *overrides], seed=seed, policy=policy, engine="simulated"
    )
    recorded = _named(directory, metrics.started)
    emulation = Emulation(
        loaded.scenario,
        source=str(directory.scenario_path),
        out=out,
        progress=progress,
        warnings=loaded.warnings,
        replay_of=asdict(recorded),
    )
    return RunReplay(recorded, emulation, (*cautions, *_by_hand(metrics, scenario)))


def _recorded(directory: RunDirectory) -> RunMetrics:
    """The recorded run. Raises ``ScenarioError`` where there is too little of it."""
    path = directory.path
    version = directory.manifest().get("version", MANIFEST_VERSION)
    if version != MANIFEST_VERSION:
        raise ScenarioError(
            f"{path} cannot be replayed: its manifest is of version {version}, and this program knows "
            f"version {MANIFEST_VERSION}; replay it with the ecco-emu that made it, or a newer one"
        )
    if not directory.scenario_path.is_file():
        raise ScenarioError(
            f"{path} cannot be replayed: its scenario.yaml is missing, from which a replay is made"
        )
    metrics = RunMetrics.of(event for event, _ in directory.events())
    if metrics.started is None:
        raise ScenarioError(
            f"{path} cannot be replayed: it ended before it began, so there is nothing to replay; run its "
            f"scenario with `ecco-emu run {directory.scenario_path} --engine simulated`"
        )
    return metrics


def _named(directory: RunDirectory, started: RunStarted) -> ReplayedRun:
    name = directory.path.resolve().name
    return ReplayedRun(name, started.policy, started.trainer, started.engine, started.seed)


def _replaced(scenario: Scenario, overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """The values that the trainer ``curve`` needs in place of the recorded ones, and what they change."""
    trainer = scenario.trainer
    replaced = ["trainer.backend=curve"]
    cautions: list[str] = []
    if trainer.backend == "curve":
        return replaced, cautions
    if trainer.student not in profiles.curves() and not any(one.startswith(STUDENT_KEY) for one in overrides):
        raise ScenarioError(
            f"the run's student {trainer.student} has no fit for the trainer curve (there are: "
            f"{', '.join(profiles.curves())}); give one with --set {STUDENT_KEY}NAME, which then models "
            "another student"
        )
    if trainer.teacher != "oracle":
        # labelling costs the replay's GPUs as much, though no model labels
        replaced += ["trainer.teacher=oracle", f"trainer.teacher_cost={trainer.label_cost:g}"]
        cautions.append("Its teacher was a model; the replay's labels are the world's own, at the same cost.")
    return replaced, cautions


def _by_hand(metrics: RunMetrics, scenario: Scenario) -> list[str]:
    """Faults that were injected while it ran are numbered after the scenario's own."""
    injected = {fault.index for fault in metrics.faults if fault.index >= len(scenario.faults)}
    if not injected:
        return []
    count = "a fault" if len(injected) == 1 else f"{len(injected)} faults"
    return [f"While it ran, {count} came by hand: not in its scenario, and not in the replay."]
