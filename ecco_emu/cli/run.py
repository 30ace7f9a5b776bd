"""``ecco-emu run``: runs a scenario, with a view during the run and its outcome at the end."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ecco_emu.cli.app import (
    Dilation,
    EngineOption,
    Json,
    Overrides,
    PolicyName,
    ScenarioPath,
    Seed,
    answer,
    app,
    err,
    figure,
    kbit,
    out,
    show_warnings,
)
from ecco_emu.core.errors import EccoError
from ecco_emu.core.events import RunStatus
from ecco_emu.host.event_loop import run_until_signalled
from ecco_emu.record import verdict
from ecco_emu.record.drifts import Fall, ResponseStatistics
from ecco_emu.report.story import fall_words, median_words

if TYPE_CHECKING:
    from ecco_emu.emulation.emulation import Emulation
    from ecco_emu.report.terminal import Progress


EXIT_CODES = {"ok": 0, "failed": 1, "degraded": 4, "interrupted": 130}
"""By the run's status. Errors carry their own exit codes (``core.errors``)."""


@app.command()
def run(
    scenario: ScenarioPath,
    out_dir: Annotated[Path, typer.Option("--out", help="Where run directories are made.")] = Path("runs"),
    overrides: Overrides = None,
    seed: Seed = None,
    dilation: Dilation = None,
    policy: PolicyName = None,
    engine: EngineOption = None,
    live: Annotated[
        bool | None,
        typer.Option("--live/--no-live", help="Live view; by default when this is a terminal."),
    ] = None,
    capture: Annotated[
        bool,
        typer.Option("--capture", help="Capture packets into pcap/: a pcapng file a camera, one the server."),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No view and no table: only the outcome, and problems.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a scenario: as root, or as anybody with --engine simulated. Prints where its report is."""
    from ecco_emu.emulation.emulation import Emulation

    teller = RunTeller(quiet=quiet)
    emulation = Emulation.from_file(
        scenario,
        overrides=overrides or (),
        seed=seed,
        dilation=dilation,
        policy=policy,
        engine=engine,
        out=out_dir,
        progress=teller,
        capture=capture,
    )
    show_warnings(emulation.warnings)
    ran = carry_out(emulation, live, teller, quiet=quiet or as_json)
    if as_json:
        answer(ran.as_data())
    else:
        print_run(emulation, ran, quiet=quiet)
    sys.exit(EXIT_CODES[ran.status])


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that came to its end."""

    status: RunStatus
    directory: Path
    report: Path
    summary: dict[str, Any]

    def as_data(self) -> dict[str, Any]:
        return {**self.summary, "directory": self.directory, "report": self.report}


def carry_out(emulation: Emulation, live: bool | None, teller: RunTeller, *, quiet: bool) -> FinishedRun:
    """Runs it, with a view unless it is to be ``quiet``, and builds its report. Says where the results are if
    it does not come to its end."""
    try:
        status = run_until_signalled(_run(emulation, live, teller, quiet=quiet))
        report = _report(emulation.directory)
    except BaseException:
        _tell_where(emulation)
        raise
    summary = json.loads((emulation.directory / "summary.json").read_text())
    return FinishedRun(status, emulation.directory, report, summary)


def print_run(emulation: Emulation, ran: FinishedRun, *, quiet: bool) -> None:
    if not quiet:
        print_summary(ran.summary)
    print_verdict(verdict.recorded(emulation.summary()), always=quiet)
    print_paths(out, ran.directory, ran.report)


def _report(directory: Path) -> Path:
    from ecco_emu.record.rundir import RunDirectory
    from ecco_emu.report.html import write_report

    return write_report(RunDirectory.open(directory))


def _tell_where(emulation: Emulation) -> None:
    """Where the results of a run are that an error or Ctrl-C ended, if it came as far as to have some."""
    try:
        directory = emulation.directory
    except EccoError:
        return
    report = None
    # the error that ended the run is told after this: one of its report must not take its place
    with suppress(Exception, KeyboardInterrupt):
        report = _report(directory) if emulation.summary().started is not None else None
    print_paths(err, directory, report)


class RunTeller:
    """Says how the parts before and after a run get on: in the run's view while that is open."""

    view: Progress | None = None

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, text: str) -> None:
        if self.view is not None:
            self.view.on_progress(text)
        elif not self._quiet:
            err.print(f"{text} …", style="dim")


async def _run(emulation: Emulation, live: bool | None, teller: RunTeller, quiet: bool) -> RunStatus:
    """The run itself, with a view of it. Ctrl-C cancels this task, and leaving the contexts cleans up."""
    from ecco_emu.report.terminal import open_progress

    view = None if quiet else open_progress(out, live=live)
    if view is not None:
        emulation.subscribe(view.on_event)
    async with emulation:
        with view if view is not None else nullcontext():
            teller.view = view
            try:
                return await emulation.finish()
            finally:
                teller.view = None


def print_paths(console: Console, directory: Path, report: Path | None) -> None:
    console.print(f"run directory  {directory}", soft_wrap=True)
    if report is not None:
        console.print(f"report         {report}", soft_wrap=True)


def print_verdict(ended: verdict.RunVerdict, *, always: bool) -> None:
    """The run's status with its reasons and a way out; ``always``: also where all is well."""
    for line in verdict.told(ended) or (["ok"] if always else []):
        out.print(line, style="" if ended.status == "ok" else "red", soft_wrap=True)


def print_summary(summary: dict[str, Any]) -> None:
    """Prints each camera's accuracy, the outcome in sentences, the expectations and the clock's health."""
    table = Table(title=f"policy {summary['policy']}: {summary['status']}", title_justify="left")
    for heading in ("camera", "mAP after drift", "at the end", "segments", "goodput", "target"):
        table.add_column(heading, justify="left" if heading == "camera" else "right")
    for name, camera in summary["cameras"].items():
        sent, delivered = camera["segments_sent"], camera["segments_delivered"]
        table.add_row(
            name,
            figure(camera["map_after_drift"]),
            figure(camera["map_final"]),
            f"{delivered}/{sent}",
            kbit(camera["goodput_bps"]),
            kbit(camera["target_bps"]),
        )
    out.print(table)
    for sentence in outcome_lines(summary):
        out.print(sentence, soft_wrap=True)
    for expectation in summary["expectations"]:
        mark = ("held", "green") if expectation["held"] else ("failed", "red")
        detail = f": {expectation['text']} ({expectation['detail']})"
        out.print(Text.assemble(mark, detail), soft_wrap=True)
    told = [f"trainer {summary['trainer']}", f"engine {summary['engine']}"]
    clock = summary["clock"]
    if clock["lag_p99_ms"] is not None:  # a simulated run waits for its host
        told += [
            f"one emulated second = {summary['dilation']:g} s",
            f"loop lag p99 {clock['lag_p99_ms']:.1f} ms",
            f"deadlines missed: {clock['deadline_misses']}",
        ]
    out.print(", ".join(told), soft_wrap=True)


def outcome_lines(summary: dict[str, Any]) -> list[str]:
    """Mean accuracies, answers, and the drifts that nobody noticed, from the content of summary.json."""
    response = summary["response"]
    asked = response["answered"] + response["censored"]
    lines = [
        f"mean mAP {figure(summary['mean_map'])}; of the cameras that drifted, from then on: "
        f"{figure(summary['mean_map_drifted'])}"
    ]
    if asked:
        keys = ("answered", "censored", "median_s", "survival_median_s")
        statistics = ResponseStatistics(**{key: response[key] for key in keys})
        lines.append(
            f"{response['answered']} of {asked} requests after a drift were answered with "
            f"{response['threshold']:g} mAP{median_words(statistics)}"
        )
    if summary["falls"]:
        lines.append(fall_words([Fall(**each) for each in summary["falls"]]))
    lines += [
        f"nobody noticed: {missed['camera']} turned to {missed['weather']} at {missed['t']:g} s "
        f"(mAP {figure(missed['map_before'])} before, {figure(missed['map_after'])} after)"
        for missed in summary["unnoticed_drifts"]
    ]
    return lines
