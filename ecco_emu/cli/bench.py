"""``ecco-emu bench``: a verb for each of the benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from ecco_emu.cli.app import Json, answer, app, err, out
from ecco_emu.host.event_loop import run_until_signalled
from ecco_emu.host.processors import allowed_processors

if TYPE_CHECKING:
    from ecco_emu.study.tables import Table

bench_app = typer.Typer(help="Measure this program on this host.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")

Markdown = Annotated[bool, typer.Option("--markdown", help="Tables as Markdown.")]


class BenchReport(Protocol):
    """The result of a benchmark."""

    def tables(self) -> Sequence[Table]: ...

    def as_data(self) -> Any: ...


def show(report: BenchReport, *, as_json: bool, as_markdown: bool) -> None:
    """Prints a report as it was asked for; by default its tables for a terminal."""
    from ecco_emu.study import tables

    if as_json:
        answer(report.as_data())
    elif as_markdown:
        print(tables.markdown(report.tables()))
    else:
        tables.show(report.tables(), out)


def _progress(text: str) -> None:
    err.print(f"{text} …", style="dim")


@bench_app.command("net")
def bench_net(
    seconds: Annotated[float, typer.Option(min=2, help="Length of each measurement of traffic.")] = 10.0,
    as_json: Json = False,
) -> None:
    """Measure the link lab (as root): rates, delays, faults, build times, beside Mininet if it is there."""
    from ecco_emu.bench.net.command import measure
    from ecco_emu.study import tables

    report = run_until_signalled(measure(seconds, _progress))
    if as_json:
        answer(report.as_data())
    else:
        tables.show([report.table()], out)


@bench_app.command("video")
def bench_video(
    segments: Annotated[
        int, typer.Option(min=4, help="Segments of a second for each target; the first three do not count.")
    ] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Of the pictures, and of the target that jumps.")] = 1,
    as_json: Json = False,
    as_markdown: Markdown = False,
) -> None:
    """Measure the video encoder: how near segments come to their targets, CPU time, picture quality."""
    from ecco_emu.bench.video.command import measure_all
    from ecco_emu.study import tables

    # On no event loop: coding would block it, and Ctrl-C would have to wait for the end.
    report = measure_all(segments, seed, _progress)
    if as_json:
        answer(report.as_data())
    elif as_markdown:
        print(tables.markdown([report.table()]))
    else:
        tables.show([report.table()], out)


@bench_app.command("control")
def bench_control(
    cameras: Annotated[
        int, typer.Option(min=0, help="Cameras whose windows are compared, ten seconds each.")
    ] = 40,
    seeds: Annotated[
        int, typer.Option(min=0, help="Seeds of three cameras that drift at once, two minutes each.")
    ] = 20,
    as_json: Json = False,
    as_markdown: Markdown = False,
    estimates: Annotated[
        Path | None, typer.Option(help="Write the cameras' estimates to this file, a JSON line each.")
    ] = None,
) -> None:
    """Measure the control loop: false splits and power of a window's end, who joins whom after a drift."""
    from ecco_emu.bench.control.command import measure

    report = run_until_signalled(measure(cameras, seeds, _progress))
    if estimates is not None:
        report.write_estimates(estimates)
    show(report, as_json=as_json, as_markdown=as_markdown)


@bench_app.command("curve")
def bench_curve(
    runs: Annotated[list[Path], typer.Argument(help="Directories of recorded runs of the trainer yolo.")],
    base: Annotated[
        str | None,
        typer.Option(help="The fit whose values stay where runs tell nothing, and where the search begins."),
    ] = None,
    streams: Annotated[
        Path | None,
        typer.Option(
            help="Detections of the runs' students: read from this file, or measured and kept there."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Replays of each run.")] = 3,
    write: Annotated[
        Path | None, typer.Option("--write", help="Write the fit to this file, for trainer.student.")
    ] = None,
    as_json: Json = False,
    as_markdown: Markdown = False,
) -> None:
    """Fit the trainer `curve` to recorded runs, and take their decisions again on the model."""
    from ecco_emu.bench.curve.command import fit_curve

    report = run_until_signalled(
        fit_curve(runs, base=base, streams_file=streams, seeds=seeds, progress=_progress)
    )
    if write is not None:
        report.write(write)
    show(report, as_json=as_json, as_markdown=as_markdown)


class BenchPart(StrEnum):
    """A part to which ``bench transport`` can be confined."""

    shares = "shares"
    fig11 = "fig11"
    convergence = "convergence"
    real = "real"
    cost = "cost"


class BenchMapping(StrEnum):
    """A rule from flows' weights to GAIMD's alphas."""

    linear = "linear"
    root = "root"
    auto = "auto"


@bench_app.command("transport")
def bench_transport(
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Simulate a spanning subset of the share matrix, not all 1080 cells of it."
        ),
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="The whole matrix on real links too, which takes a day.")
    ] = False,
    only: Annotated[
        list[BenchPart] | None,
        typer.Option(
            help="Only this part; repeatable. shares, fig11 and convergence are simulated; with real, on "
            "real links too; real alone is all three on real links."
        ),
    ] = None,
    as_json: Json = False,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="Where results go, a JSON line each; by default a new file in runs/."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Results of an earlier run: a measurement that is in them is not repeated."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Simulations at one time; by default one a CPU.")
    ] = None,
    side_by_side: Annotated[int, typer.Option(min=1, help="Labs at one time, at most.")] = 4,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each simulated cell.")] = 5,
    repeats: Annotated[
        int | None,
        typer.Option(
            min=1, help="Runs of each cell on real links; by default as many as fit in half an hour."
        ),
    ] = None,
    mapping: Annotated[
        list[BenchMapping] | None,
        typer.Option(help="From weights to alphas; repeatable. By default linear beside auto."),
    ] = None,
    alpha_sum: Annotated[
        str | None,
        typer.Option(metavar="N|proportional", help="All flows' alphas together; proportional to the link."),
    ] = None,
    warmup: Annotated[float, typer.Option(min=1, help="Seconds before measuring begins.")] = 20.0,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds measured.")] = 60.0,
    as_markdown: Markdown = False,
    plots_dir: Annotated[
        Path | None, typer.Option("--plots", help="Draw pictures of the results into this directory (SVG).")
    ] = None,
) -> None:
    """Measure the transport (as root): shares by weight, simulated and real; convergence; cost."""
    from ecco_emu.bench.transport import command
    from ecco_emu.bench.transport.run import Options

    given: dict[str, Any] = {}
    if mapping:
        given["mappings"] = tuple(one.value for one in mapping)
    if alpha_sum is not None:
        given["alpha_sum"] = command.alpha_sum(alpha_sum)
    wanted = Options(
        only=tuple(part.value for part in only or ()),
        quick=quick,
        full=full,
        seeds=seeds,
        repeats=repeats,
        jobs=jobs or allowed_processors(),
        side_by_side=side_by_side,
        warmup_s=warmup,
        measure_s=seconds,
        **given,
    )
    report = run_until_signalled(command.run(wanted, out_file=out_file, resume=resume, console=err))
    if plots_dir is not None:
        for path in report.draw(plots_dir):
            err.print(path, soft_wrap=True)
    if as_json:
        answer(report.as_data())
    elif as_markdown:
        print(report.as_markdown())
    else:
        report.show(out)
