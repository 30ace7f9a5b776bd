"""``ecco-emu bench engines`` and ``bench scale``: simulated runs against real ones, and what they cost."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ecco_emu.cli.app import Dilation, Json, Overrides, err
from ecco_emu.cli.bench import Markdown, bench_app, show
from ecco_emu.host.event_loop import run_until_signalled


class BackendName(StrEnum):
    """The trainer of the runs."""

    curve = "curve"
    yolo = "yolo"


def _progress(text: str) -> None:
    err.print(f"{text} …", style="dim")


@bench_app.command("engines")
def bench_engines(
    scenarios: Annotated[
        list[str] | None,
        typer.Option("--scenarios", metavar="SCENARIO", help="A file or a name; repeatable. By default six."),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each scenario on real links.")] = 3,
    backend: Annotated[
        BackendName, typer.Option(help="The trainer, on both engines. yolo trains, and takes hours.")
    ] = BackendName.curve,
    dilation: Dilation = None,
    overrides: Overrides = None,
    as_json: Json = False,
    as_markdown: Markdown = False,
    out_file: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Where results go, a JSON line each; runs that are in it are not repeated. By default a new "
            "file in runs/.",
        ),
    ] = None,
) -> None:
    """Compare real links (as root) with simulated ones: the same scenarios and seeds, figure by figure."""
    from ecco_emu.bench.engines import command

    options = command.EnginesOptions(
        scenarios=tuple(scenarios or command.SCENARIOS),
        runs=runs,
        backend=backend.value,
        dilation=dilation,
        overrides=tuple(overrides or ()),
    )
    report = run_until_signalled(command.run(options, out_file, _progress))
    err.print(f"results: {report.results}", soft_wrap=True)
    show(report, as_json=as_json, as_markdown=as_markdown)


def _counts(text: str) -> list[int]:
    try:
        counts = [int(each) for each in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of numbers such as 10,30,100") from None
    if min(counts) < 1:
        raise typer.BadParameter("a run has a camera at least")
    return counts


@bench_app.command("scale")
def bench_scale(
    cameras: Annotated[str, typer.Option(metavar="N,N,…", help="Numbers of cameras.")] = "10,30,100,300,1000",
    seconds: Annotated[float, typer.Option(min=2, help="Emulated seconds measured of each.")] = 20.0,
    most_real: Annotated[
        int, typer.Option(min=0, help="Real links up to so many cameras; a run takes longer with each.")
    ] = 100,
    as_json: Json = False,
    as_markdown: Markdown = False,
    plot: Annotated[Path | None, typer.Option(help="Draw cost against cameras into this file (SVG).")] = None,
) -> None:
    """Measure what a run costs by its number of cameras: simulated and, as root, on real links."""
    from ecco_emu.bench.scale import command
    from ecco_emu.record.rundir import write_where_told

    report = run_until_signalled(command.run(_counts(cameras), seconds, most_real, _progress))
    if plot is not None:
        write_where_told(plot, report.picture().encode())
        err.print(plot, soft_wrap=True)
    show(report, as_json=as_json, as_markdown=as_markdown)
