"""Several runs side by side: over which time they can be compared, what else differs, and what may be said.

A comparison says something about policies where everything else was alike. Where it was not, the page and the
terminal say what differed, figures are over the time that all runs have, and no run is called the best.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ecco_emu.core import events as ev
from ecco_emu.core.errors import ScenarioError
from ecco_emu.record import verdict
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.rundir import RunDirectory
from ecco_emu.record.summary import summarize
from ecco_emu.report.runs import Run, answered, flatten, held, in_time, load
from ecco_emu.report.story import listed

SUBJECT = ("policy.",)
"""Keys of a scenario that comparisons are made for: a difference in them needs no excuse."""
TOLD_OTHERWISE = ("clock.", "seed", "windows.count")
"""Keys with a sentence of their own, and the dilation, which is the host's."""
MOST_KEYS = 6
"""Keys that differ, after this many, are only counted."""


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Runs with their labels, cut to the time that all of them have."""

    labels: Sequence[str]
    whole: Sequence[Run]
    cut: Sequence[Run]
    until_s: float
    """Emulated seconds that all runs have."""
    cautions: Sequence[str]
    """In sentences, how the runs differ beside their policies, and what was done about it."""
    outcome: str
    """Which run was better, where that can be said; else empty."""


def compare(directories: Sequence[RunDirectory]) -> RunComparison:
    """Raises ``ScenarioError`` where there is nothing to compare."""
    paths = [directory.path.resolve() for directory in directories]
    if twice := [path for path in paths if paths.count(path) > 1]:
        raise ScenarioError(f"{twice[0]} is given twice; a comparison needs different runs")
    whole = [load(directory) for directory in directories]
    if empty := [run.label for run in whole if run.metrics.started is None or length_s(run.metrics) <= 0]:
        raise ScenarioError(f"{listed(empty)} never began: there is nothing to compare")
    labels = unique_labels(whole, paths)
    until_s = min(length_s(run.metrics) for run in whole)
    glimpsed = [label for label, run in zip(labels, whole, strict=True) if not measured(run.metrics)]
    mixed = 0 < len(glimpsed) < len(whole)
    cut = [
        over(run, directory, until_s, glimpses=mixed)
        for run, directory in zip(whole, directories, strict=True)
    ]
    unlike = list(differences(labels, whole, [scenario_of(directory) for directory in directories]))
    cautions = [*unlike, *_lengths(labels, whole, until_s), *_states(labels, whole)]
    if mixed:
        cautions.append(
            f"The students of {listed(glimpsed)} were not measured after the run: the accuracies of all runs "
            "are glimpses, which are noisy."
        )
    outcome = "" if unlike else _outcome(labels, whole, cut, until_s)
    return RunComparison(labels, whole, cut, until_s, cautions, outcome)


def length_s(metrics: RunMetrics) -> float:
    """How long a run was observed. One that came to its end has its planned length, to the digit."""
    return metrics.observed_s


def measured(metrics: RunMetrics) -> bool:
    """Whether its students were measured after the run."""
    return any(camera.measured for camera in metrics.cameras.values())


def over(run: Run, directory: RunDirectory, until_s: float, *, glimpses: bool) -> Run:
    """The run as if it had ended at ``until_s``; with ``glimpses`` by these alone."""
    if length_s(run.metrics) <= until_s and not glimpses:
        return run
    metrics = RunMetrics.of(until((event for event, _ in directory.events()), until_s, glimpses=glimpses))
    return replace(run, metrics=metrics, summary=summarize(metrics, run.summary["status"]))


def until(events: Iterator[ev.AnyEvent], t: float, *, glimpses: bool = False) -> Iterator[ev.AnyEvent]:
    """The events of a run up to ``t``; with ``glimpses`` without students measured after it.

    Measurements that were made later, of students that ran before, are cut to the time before.
    """
    for event in events:
        if isinstance(event, ev.StudentMeasured):
            if not glimpses and event.start < t:
                yield msgspec.structs.replace(event, t=min(event.t, t), end=min(event.end, t))
        elif event.t <= t:
            yield event


def differences(
    labels: Sequence[str], runs: Sequence[Run], scenarios: Sequence[Mapping[str, str]]
) -> Iterator[str]:
    """Sentences on what differs beside the policies: then the policies explain no difference in figures."""
    names = sorted({key for scenario in scenarios for key in scenario})
    others = [key for key in names if not key.startswith((*SUBJECT, *TOLD_OTHERWISE))]
    unlike = [
        (key, [scenario.get(key, "–") for scenario in scenarios])
        for key in others
        if all(scenarios) and len({scenario.get(key) for scenario in scenarios}) > 1
    ]
    if unlike:
        told = [f"{key}{_values(values)}" for key, values in unlike[:MOST_KEYS]]
        more = f" and {len(unlike) - MOST_KEYS} more" if len(unlike) > MOST_KEYS else ""
        yield f"These are not runs of one scenario. They differ in {'; '.join(told)}{more}."
    for key, why in (
        ("seed", "weather, traffic and training differ by chance"),
        ("engine", "links are emulated by other means"),
    ):
        values = [run.summary[key] for run in runs]
        if len(set(values)) > 1:
            each = ", ".join(f"{label}: {value}" for label, value in zip(labels, values, strict=True))
            yield f"The runs differ in {key} ({each}): {why}."
    if not all(scenarios):
        missing = [label for label, scenario in zip(labels, scenarios, strict=True) if not scenario]
        yield f"The scenario of {listed(missing)} is not in its directory: what else differs is not known."


def scenario_of(directory: RunDirectory) -> dict[str, str]:
    """The resolved scenario by dotted keys; empty where the file is gone or damaged."""
    try:
        data = YAML(typ="safe", pure=True).load(io.BytesIO(directory.scenario_path.read_bytes()))
    except (OSError, YAMLError, UnicodeDecodeError):
        return {}
    return dict(flatten(json.loads(json.dumps(data, default=str)))) if isinstance(data, dict) else {}


def unique_labels(runs: Sequence[Run], paths: Sequence[Path]) -> list[str]:
    """A label for each run: its policy where all differ, else with its directory or, if need be, its path."""
    policies = [run.summary["policy"] or run.label for run in runs]
    if len(set(policies)) == len(runs):
        return policies
    names = [run.label for run in runs]
    places = names if len(set(names)) == len(runs) else [str(path) for path in paths]
    return [f"{policy} ({place})" for policy, place in zip(policies, places, strict=True)]


def row(label: str, whole: Run, cut: Run) -> dict[str, Any]:
    """A run's line in the comparison's table: figures over the common time, and how the whole run ended."""
    finals = [camera["map_final"] for camera in cut.summary["cameras"].values()]
    known = [value for value in finals if value is not None]
    response = cut.summary["response"]
    return {
        "label": label,
        "directory": whole.label,
        "status": whole.summary["status"],
        "length": length_s(whole.metrics),
        "dilation": whole.summary["dilation"],
        "trainer": whole.summary["trainer"],
        "mean": cut.summary["mean_map"],
        "drifted": cut.summary["mean_map_drifted"],
        "final": fmean(known) if known else None,
        "worst": min(known, default=None),
        "response": response["survival_median_s"] if response["censored"] else response["median_s"],
        "answered": answered(cut.summary),
        "threshold": response["threshold"],
        "in_time": in_time(cut.summary),
        "share_error": cut.summary["share_error"],
        "expectations": held(whole.summary),
    }


def _lengths(labels: Sequence[str], runs: Sequence[Run], until_s: float) -> Iterator[str]:
    lengths = [length_s(run.metrics) for run in runs]
    if max(lengths) > until_s:
        each = ", ".join(f"{label}: {length:.1f} s" for label, length in zip(labels, lengths, strict=True))
        yield f"Their lengths differ ({each}): figures are over the first {until_s:.1f} s of each."


def _states(labels: Sequence[str], runs: Sequence[Run]) -> Iterator[str]:
    for label, run in zip(labels, runs, strict=True):
        if run.summary["status"] != "ok":
            told = "; ".join(verdict.told(verdict.recorded(run.metrics, run.summary["status"])))
            yield f"{label} is not ranked. {told[0].upper()}{told[1:]}."


def _outcome(labels: Sequence[str], whole: Sequence[Run], cut: Sequence[Run], until_s: float) -> str:
    """Of the runs that are ``ok``, in order of their mean accuracies; empty with fewer than two of them."""
    means = [
        (run.summary["mean_map"], label)
        for label, run, full in zip(labels, cut, whole, strict=True)
        if full.summary["status"] == "ok" and run.summary["mean_map"] is not None
    ]
    if len(means) < 2:
        return ""
    (best, name), *rest = sorted(means, key=lambda each: each[0], reverse=True)
    others = ", ".join(f"{label} {value:.3f}" for value, label in rest)
    return (
        f"Over {until_s:g} s, {name} had the highest mean accuracy: {best:.3f} ({others}). One run of each "
        "is no evidence: repeat it with other seeds."
    )


def _values(values: Sequence[str]) -> str:
    """In brackets, unless they are lists or long: those are for the files."""
    short = all(len(value) <= 24 and not value.startswith("[") for value in values)
    return f" ({', '.join(values)})" if short else ""
