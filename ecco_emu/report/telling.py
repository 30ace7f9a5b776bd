"""Puts notable events into one line each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ecco_emu.core import events as ev

BETWEEN_DEADLINES_S = 5.0
"""Emulated seconds between two missed deadlines that are told."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text and how to show it."""

    text: str
    style: str = ""
    """A style of rich's, such as ``red``; empty for the usual one."""


def clean(text: str) -> str:
    """The text with a mark in place of every control character.

    Text from files and peers may hold escape sequences, which would control the reader's terminal.
    """
    return "".join(letter if letter.isprintable() else "�" for letter in text)


class Teller:
    """Tells events in their order, and leaves out what has been told already.

    A camera is configured anew whenever its share changes. That mostly changes its weight alone, which no
    line shows.
    """

    def __init__(self) -> None:
        self._configured: dict[str, Line | None] = {}
        self._runs: dict[str, str] = {}
        self._late_told = -math.inf

    def tell(self, event: ev.AnyEvent) -> Line | None:
        """The event's line, None where it has none or says nothing new."""
        line = tell(event)
        if isinstance(event, ev.CameraConfigured):
            if self._configured.get(event.camera) == line:
                return None
            self._configured[event.camera] = line
        if isinstance(event, ev.StudentRunning):
            if self._runs.get(event.camera) == event.model:
                return None  # offered again, such as after a lost connection
            self._runs[event.camera] = event.model
        if isinstance(event, ev.DeadlineMissed):
            # a host that is too slow misses many: the run's verdict counts them all
            if event.t - self._late_told < BETWEEN_DEADLINES_S:
                return None
            self._late_told = event.t
        return line


def tell(event: ev.AnyEvent) -> Line | None:
    """The event in a line; None for events that only feed figures (traffic, accuracies, segments, clocks)."""
    line = _run_line(event) or _camera_line(event) or _job_line(event)
    return None if line is None else Line(clean(line.text), line.style)


def _run_line(event: ev.AnyEvent) -> Line | None:
    match event:
        case ev.RunStarted():
            return Line(
                f"{event.name} begins: {len(event.cameras)} cameras, policy {event.policy}, trainer "
                f"{event.trainer}, engine {event.engine}, dilation {event.dilation:g}"
            )
        case ev.RunEnded():
            return Line(f"ended: {event.status}", "green" if event.status == "ok" else "red")
        case ev.FaultApplied():
            return Line(f"fault: {event.on} {event.action}", "magenta")
        case ev.ExpectationChecked():
            verdict = "held" if event.held else "FAILED"
            return Line(
                f"expectation {verdict}: {event.text} ({event.detail})", "green" if event.held else "red"
            )
        case ev.DeadlineMissed():
            return Line(f"late by {event.late_s:.2g} s: {event.text}", "red")
        case ev.Trouble():
            return Line(f"trouble in {event.where}: {event.text}", "red")
    return None


def _camera_line(event: ev.AnyEvent) -> Line | None:
    match event:
        case ev.Condition():
            return Line(f"{event.camera}: {event.weather} in {event.district}", "yellow")
        case ev.DriftNoticed():
            return Line(f"{event.camera} noticed drift ({event.detector}, {event.statistic:.2f})", "yellow")
        case ev.RequestSent():
            return Line(f"{event.camera} asks for retraining")
        case ev.RequestDeferred():
            return Line(f"{event.camera} waits for a group{_waiting(event)}")
        case ev.RequestRefused():
            return Line(f"{event.camera} is refused retraining: {event.reason}", "red")
        case ev.StudentRunning():
            moved = f", {event.transferred_bytes / 1e6:.1f} MB in {event.transfer_s:.1f} s"
            return Line(
                f"{event.camera} runs student {event.model[:6]}{moved if event.transferred_bytes else ''}",
                "cyan",
            )
        case ev.CameraConfigured(state="streaming"):
            return Line(f"{event.camera} streams {event.width}×{event.height} at {event.fps:.3g} fps")
        case ev.CameraConfigured():
            # every camera begins idle: a line for each would only push the others off the screen
            return Line(f"{event.camera} is idle") if event.t > 0 else None
    return None


def _job_line(event: ev.AnyEvent) -> Line | None:
    match event:
        case ev.JobCreated():
            return Line(f"{event.job} begins with {event.camera}", "cyan")
        case ev.JobJoined():
            return Line(
                f"{event.camera} joins {event.job} (gain {event.gains.get(event.job, 0.0):+.2f})", "cyan"
            )
        case ev.JobLeft():
            return Line(f"{event.camera} leaves {event.job}: {why_left(event)}", "cyan")
        case ev.JobEnded():
            return Line(f"{event.job} ended: {event.reason}", "green")
        case ev.WindowEnded():
            groups = "; ".join(_group(group) for group in event.groups) or "nothing to train"
            return Line(f"window {event.window + 1} ended: {groups}", "bold")
    return None


def why_left(event: ev.JobLeft) -> str:
    """Why a member left its group, in words."""
    match event.reason:
        case "drop":
            fell = "" if event.drop is None else f" by {event.drop:.2f}"
            return f"its model fell{fell} there"
        case "asked again":
            return "it asks again"
        case "no better":
            return "its model is no better there"
        case "released":
            return "released"
        case "gone":
            return "the camera is gone"


def _waiting(event: ev.RequestDeferred) -> str:
    """How much the nearest job would help so far, and how often the request has waited."""
    again = f", {event.times} times now" if event.times > 1 else ""
    if not event.gains:
        return again
    # of jobs with equal gains the first: the order of the dictionary is that of the jobs
    best = max(event.gains, key=lambda job: event.gains[job])
    return f" (best so far: {best}, gain {event.gains[best]:+.2f}{again})"


def _group(group: ev.GroupState) -> str:
    accuracy = "" if group.map is None else f" mAP {group.map:.2f}"
    return f"{group.id} ({', '.join(group.members)}){accuracy}"
