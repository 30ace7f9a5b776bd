"""A run as reports read it, and figures that its own page and comparisons share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast, get_args

from ecco_emu.core.events import RunStatus
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.rundir import RunDirectory
from ecco_emu.record.summary import summarize
from ecco_emu.record.verdict import recorded


@dataclass(frozen=True, slots=True)
class Run:
    """A run, read from its directory."""

    label: str
    metrics: RunMetrics
    summary: dict[str, Any]
    manifest: dict[str, Any]


def load(directory: RunDirectory) -> Run:
    """Reads a run that goes on or is over. Its summary is computed anew from its events."""
    metrics = RunMetrics.of(event for event, _ in directory.events())
    status = recorded(metrics, _written_status(directory)).status
    return Run(directory.path.name, metrics, summarize(metrics, status), directory.manifest())


def _written_status(directory: RunDirectory) -> RunStatus | None:
    """The status in summary.json: the end of a log may be lost."""
    written = directory.summary().get("status")
    return cast(RunStatus, written) if written in get_args(RunStatus) else None


def in_time(summary: dict[str, Any]) -> float | None:
    """The fraction of segments that arrived before their deadlines, of those whose fate is known."""
    fates = ("segments_delivered", "segments_late", "segments_lost")
    counts = [sum(camera[fate] for camera in summary["cameras"].values()) for fate in fates]
    return counts[0] / sum(counts) if sum(counts) else None


def held(summary: dict[str, Any]) -> str:
    checked = summary["expectations"]
    return f"{sum(one['held'] for one in checked)} of {len(checked)}" if checked else ""


def answered(summary: dict[str, Any]) -> str:
    """Of the drifts for which a camera asked for retraining, those whose accuracy came back."""
    response = summary["response"]
    asked = response["answered"] + response["censored"]
    return f"{response['answered']} of {asked}" if asked else ""


def flatten(value: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """``{"host": {"cores": 2}}`` as ``("host.cores", "2")``."""
    facts: list[tuple[str, str]] = []
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict):
            facts += flatten(item, f"{name}.")
        else:
            facts.append((name, item if isinstance(item, str) else json.dumps(item)))
    return facts
