"""``ecco-emu run``: runs a scenario, with a view during the run and its outcome at the end."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ecco_emu.cli.app import Json, Overrides, ScenarioPath, answer, app, err, figure, kbit, out, show_warnings
from ecco_emu.core.events import RunStatus
from ecco_emu.host.event_loop import run_until_signalled

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
    seed: Annotated[int | None, typer.Option(help="Instead of the scenario's seed.")] = None,
    dilation: Annotated[
        str | None, typer.Option(metavar="auto|N", help="Wall seconds per emulated second.")
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Instead of the scenario's policy.")] = None,
    live: Annotated[
        bool | None,
        typer.Option("--live/--no-live", help="Live view; by default when this is a terminal."),
    ] = None,
    capture: Annotated[
        bool,
        typer.Option("--capture", help="Capture packets into pcap/: a pcapng file a camera, one the server."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a scenario (as root). Prints where the run directory and its report are."""
    from ecco_emu.emulation.emulation import Emulation

    teller = _Teller()
    emulation = Emulation.from_file(
        scenario,
        overrides=overrides or (),
        seed=seed,
        dilation=dilation,
        policy=policy,
        out=out_dir,
        progress=teller,
        capture=capture,
    )
    show_warnings(emulation.warnings)
    status = run_until_signalled(_run(emulation, live, teller, quiet=as_json))
    from ecco_emu.record.rundir import RunDirectory
    from ecco_emu.report.html import write_report

    report = write_report(RunDirectory.open(emulation.directory))
    summary = json.loads((emulation.directory / "summary.json").read_text())
    if as_json:
        answer({**summary, "directory": emulation.directory, "report": report})
    else:
        print_summary(summary, emulation.directory, report)
    sys.exit(EXIT_CODES[status])


class _Teller:
    """Says how the parts before and after a run get on: in the run's view while that is open."""

    view: Progress | None = None

    def __call__(self, text: str) -> None:
        if self.view is not None:
            self.view.on_progress(text)
        else:
            err.print(f"[dim]{text} …[/]", highlight=False)


async def _run(emulation: Emulation, live: bool | None, teller: _Teller, quiet: bool) -> RunStatus:
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


def print_summary(summary: dict[str, Any], directory: Path, report: Path) -> None:
    """Prints each camera's accuracy, the expectations, the clock's health and the paths to look further."""
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
        out.print(sentence, markup=False, highlight=False, soft_wrap=True)
    for expectation in summary["expectations"]:
        mark = "[green]held[/]" if expectation["held"] else "[red]failed[/]"
        out.print(f"{mark}: ", end="")
        detail = f"{expectation['text']} ({expectation['detail']})"
        out.print(detail, markup=False, highlight=False, soft_wrap=True)
    clock = summary["clock"]
    out.print(
        f"engine {summary['engine']}, one emulated second = {summary['dilation']:g} s, loop lag p99 "
        f"{clock['lag_p99_ms']:.1f} ms, deadlines missed: {clock['deadline_misses']}",
        highlight=False,
        soft_wrap=True,
    )
    if summary["status"] == "degraded":
        out.print(
            "degraded: this host did not keep up, so timing is not to be trusted; "
            "give it more time with --dilation, or fewer other jobs",
            highlight=False,
            soft_wrap=True,
        )
    out.print(f"run directory  {directory}", highlight=False, soft_wrap=True)
    out.print(f"report         {report}", highlight=False, soft_wrap=True)


def outcome_lines(summary: dict[str, Any]) -> list[str]:
    """Mean accuracies, answers, and the drifts that nobody noticed, from the content of summary.json."""
    response = summary["response"]
    asked = response["answered"] + response["censored"]
    lines = [
        f"mean mAP {figure(summary['mean_map'])}; of the cameras that drifted, from then on: "
        f"{figure(summary['mean_map_drifted'])}"
    ]
    if asked:
        median = "" if response["median_s"] is None else f", after {response['median_s']:.1f} s (median)"
        lines.append(
            f"{response['answered']} of {asked} requests after a drift were answered with "
            f"{response['threshold']:g} mAP{median}"
        )
    lines += [
        f"nobody noticed: {missed['camera']} turned to {missed['weather']} at {missed['t']:g} s "
        f"(mAP {figure(missed['map_before'])} before, {figure(missed['map_after'])} after)"
        for missed in summary["unnoticed_drifts"]
    ]
    return lines
