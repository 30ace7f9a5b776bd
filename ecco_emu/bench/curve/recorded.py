"""Recorded runs, as far as the fit needs them: who was trained on what, and how good it was then."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from ecco_emu.core import events as ev
from ecco_emu.core.errors import ScenarioError
from ecco_emu.record.rundir import RunDirectory
from ecco_emu.scenario import schema
from ecco_emu.scenario.loading import load


@dataclass(frozen=True, slots=True)
class RecordedRun:
    directory: Path
    scenario: schema.Scenario
    started: ev.RunStarted
    events: Sequence[ev.AnyEvent]
    """In order of the log: that of the decisions."""

    @property
    def manifest(self) -> Mapping[str, object]:
        return RunDirectory.open(self.directory).manifest()


@dataclass(frozen=True, slots=True)
class TrainedStudent:
    """A student that a run measured after its end, and the training that made it."""

    scenario: str
    job: str
    model: str
    condition: str
    cameras: int
    """Members of its group."""
    micro_windows: int
    steps: int
    images: int
    accuracy: float
    """mAP, the mean over ``measured_on`` cameras under that condition."""
    measured_on: int


def read_runs(directories: Iterable[Path]) -> list[RecordedRun]:
    """Raises ``ScenarioError`` for a folder that is no run of ``yolo``."""
    return [_read(directory) for directory in directories]


def _read(directory: Path) -> RecordedRun:
    run = RunDirectory.open(directory)
    events = [event for event, _ in run.events()]
    started = next((each for each in events if isinstance(each, ev.RunStarted)), None)
    if started is None or started.trainer != "yolo":
        kind = "holds no run" if started is None else f"is a run of {started.trainer!r}"
        raise ScenarioError(f"{directory} {kind}: the model is fitted to runs of 'yolo'")
    return RecordedRun(directory, load(run.scenario_path, files=False).scenario, started, events)


@dataclass
class _Training:
    members: list[str] = field(default_factory=list)
    micro_windows: int = 0
    steps: int = 0
    images: int = 0
    pure: bool = True
    """Did it begin from the first student? A later one knows other conditions."""


def trained_students(run: RecordedRun) -> list[TrainedStudent]:
    """Every measured student of a job that began from the run's first student, under its group's condition.

    Groups whose members see different conditions are left out.
    """
    measured = _measured(run)
    first = first_student(run)
    conditions: dict[str, str] = {}
    jobs: defaultdict[str, _Training] = defaultdict(_Training)
    seen: set[str] = set()
    found = []
    for event in run.events:
        match event:
            case ev.Condition():
                conditions[event.camera] = event.weather
            case ev.JobCreated():
                jobs[event.job] = _Training([event.camera], pure=event.model == first)
            case ev.JobJoined():
                jobs[event.job].members.append(event.camera)
            case ev.JobLeft() if event.camera in jobs[event.job].members:
                jobs[event.job].members.remove(event.camera)
            case ev.MicroWindow() if event.job is not None:
                job = jobs[event.job]
                job.micro_windows += 1
                job.steps += event.steps
                job.images += event.images
            case ev.StudentSent() if event.model not in seen:
                seen.add(event.model)
                job = jobs[event.job]
                theirs = Counter(conditions[camera] for camera in job.members)
                if not job.pure or len(theirs) != 1 or not job.steps:
                    continue
                (condition,) = theirs
                values = measured.get((event.model, condition), {})
                if values:
                    found.append(
                        TrainedStudent(
                            scenario=run.started.name,
                            job=event.job,
                            model=event.model,
                            condition=condition,
                            cameras=len(job.members),
                            micro_windows=job.micro_windows,
                            steps=job.steps,
                            images=job.images,
                            accuracy=fmean(values.values()),
                            measured_on=len(values),
                        )
                    )
            case _:
                pass
    return found


def first_student(run: RecordedRun) -> str:
    """The hash of the student that the cameras began with."""
    return next(
        (each.model for each in run.events if isinstance(each, ev.StudentMeasured) and each.start == 0), ""
    )


def first_accuracies(runs: Iterable[RecordedRun]) -> dict[str, float]:
    """The first student's mAP by condition, the mean over all cameras and runs."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for run in runs:
        first = first_student(run)
        for (model, condition), values in _measured(run).items():
            if model == first:
                found[condition] += values.values()
    return {condition: fmean(values) for condition, values in found.items()}


def _measured(run: RecordedRun) -> dict[tuple[str, str], dict[str, float]]:
    """mAP by camera, by student and condition."""
    found: defaultdict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for event in run.events:
        if isinstance(event, ev.StudentMeasured) and event.map is not None:
            found[event.model, event.weather][event.camera] = event.map
    return found
