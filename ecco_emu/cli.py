"""The command line. Each verb is a few lines over the package that does the work.

Exit codes: 0 done and every expectation held, 1 an expectation failed, 2 bad input, 3 this host cannot,
4 done but degraded, 130 interrupted and cleaned up.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table

import ecco_emu
from ecco_emu.core.errors import EccoError, ScenarioError

if TYPE_CHECKING:
    from ecco_emu.emulation.emulation import Emulation, Status

T = TypeVar("T")

app = typer.Typer(
    help="Emulate a continuous-learning video-analytics system on this host, with real Linux networking.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console()
err = Console(stderr=True)

ScenarioPath = Annotated[Path, typer.Argument(help="A scenario file (YAML).", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON on standard output.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value by its dotted path. Repeatable."),
]

EXIT_CODES = {"ok": 0, "failed": 1, "degraded": 4, "interrupted": 130}


def main() -> NoReturn:
    """Runs a verb; every error of ours ends in one clear message and its exit code."""
    try:
        app()
    except EccoError as error:
        err.print("[bold red]error:[/] ", end="")
        err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("interrupted; everything was cleaned up")
        sys.exit(130)
    sys.exit(0)


def version(wanted: bool) -> None:
    if wanted:
        out.print(f"ecco-emu {ecco_emu.__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


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
    as_json: Json = False,
) -> None:
    """Run a scenario (as root). Prints where the run directory and its report are."""
    from ecco_emu.emulation.emulation import Emulation

    emulation = Emulation.from_file(
        scenario,
        overrides=overrides or (),
        seed=seed,
        dilation=dilation,
        policy=policy,
        out=out_dir,
        progress=lambda text: err.print(f"[dim]{text} …[/]", highlight=False),
    )
    status = run_async(_run(emulation, live, quiet=as_json))
    from ecco_emu.report.html import write_report
    from ecco_emu.report.rundir import RunDirectory

    report = write_report(RunDirectory.open(emulation.directory))
    summary = json.loads((emulation.directory / "summary.json").read_text())
    if as_json:
        print(json.dumps(summary))
    else:
        print_summary(summary, emulation.directory, report)
    sys.exit(EXIT_CODES[status])


async def _run(emulation: Emulation, live: bool | None, quiet: bool) -> Status:
    """The run itself, with a view of it. Ctrl-C cancels this task; leaving the contexts cleans up."""
    from ecco_emu.report.live import open_progress

    view = None if quiet else open_progress(out, live=live)
    if view is not None:
        emulation.subscribe(view.on_event)
    async with emulation:
        with view if view is not None else nullcontext():
            return await emulation.finish()


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs on uvloop where it is installed. Ctrl-C and SIGTERM cancel, so that everything is cleaned up."""
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:
        factory = None

    async def with_signals() -> T:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        return await coroutine

    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            return runner.run(with_signals())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


def print_summary(summary: dict[str, Any], directory: Path, report: Path) -> None:
    """What a run ends with: each camera's accuracy, the expectations, and where to look further."""
    table = Table(title=f"policy {summary['policy']}: {summary['status']}", title_justify="left")
    for heading in ("camera", "mAP after drift", "at the end", "segments", "goodput", "target"):
        table.add_column(heading, justify="left" if heading == "camera" else "right")
    for name, camera in summary["cameras"].items():
        sent, delivered = camera["segments_sent"], camera["segments_delivered"]
        table.add_row(
            name,
            _figure(camera["map_after_drift"]),
            _figure(camera["map_final"]),
            f"{delivered}/{sent}",
            _kbit(camera["goodput_bps"]),
            _kbit(camera["target_bps"]),
        )
    out.print(table)
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


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _kbit(value: float | None) -> str:
    return "–" if value is None else f"{value / 1e3:.0f} kbit"


@app.command()
def check(
    scenarios: Annotated[list[Path], typer.Argument(help="Scenario files (YAML).", show_default=False)],
    as_json: Json = False,
) -> None:
    """Check scenarios without running them: every mistake at once, with line and column."""
    from ecco_emu.emulation.topology import trace_problem
    from ecco_emu.scenario import loading

    problems = loading.check(scenarios, trace_check=trace_problem)
    if as_json:
        print(json.dumps([asdict(problem) for problem in problems]))
    elif problems:
        raise ScenarioError("\n".join(str(problem) for problem in problems))
    else:
        for path in scenarios:
            out.print(f"{path}: ok", highlight=False, soft_wrap=True)
    sys.exit(ScenarioError.exit_code if problems else 0)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Show what this host can do, and what to install or change for the rest."""
    from ecco_emu.emulation import doctor as examine

    findings = examine.examine()
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        table = Table(title="this host", title_justify="left")
        for heading in ("", "what", "found", "way out"):
            table.add_column(heading)
        marks = {"ok": "[green]✓[/]", "degraded": "[yellow]~[/]", "missing": "[red]✗[/]"}
        for finding in findings:
            table.add_row(marks[finding.state], finding.what, finding.found, finding.way_out)
        out.print(table)
    sys.exit(3 if any(finding.state == "missing" for finding in findings) else 0)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.", show_default=False)],
    out_file: Annotated[
        Path, typer.Option("--out", help="Where the comparison of several runs goes.")
    ] = Path("comparison.html"),
) -> None:
    """Build report.html of a run again, or one page that compares several runs."""
    from ecco_emu.report.html import build_report, write_report
    from ecco_emu.report.rundir import RunDirectory, write_atomically

    directories = [RunDirectory.open(path) for path in runs]
    if len(directories) == 1:
        out_file = write_report(directories[0])
    else:
        write_atomically(out_file, build_report(directories).encode())
    out.print(out_file, highlight=False, soft_wrap=True)


@app.command()
def schema() -> None:
    """Print the scenario's JSON Schema, for editors that complete and check YAML."""
    from ecco_emu.scenario.dump import json_schema

    print(json.dumps(json_schema(), indent=2))


@app.command()
def pretrain(
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Where the student goes; by default profiles/students.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the towns, the views and the training.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of 16 pictures.")] = 2400,
    scenes: Annotated[int, typer.Option(min=1, help="Pictures rendered, all of clear days.")] = 2800,
    minutes: Annotated[float | None, typer.Option(help="End the training after this long.")] = None,
) -> None:
    """Train the student that cameras start with: YOLO11n, on clear days in the rendered town."""
    from ecco_emu.scenario.profiles import students_dir
    from ecco_emu.trainer.pretrain import pretrain as train

    target = out_dir or students_dir()
    with err.status("rendering and training") as status:
        provenance = asyncio.run(
            train(target, seed=seed, steps=steps, scenes=scenes, minutes=minutes, progress=status.update)
        )
    table = Table(title=f"{target}: {provenance.steps} steps", title_justify="left")
    for heading in ("weather", "mAP", "mAP50"):
        table.add_column(heading)
    for weather, accuracy in provenance.map.items():
        table.add_row(weather, _figure(accuracy), _figure(provenance.map50[weather]))
    out.print(table)


@app.command()
def world(
    scenario: ScenarioPath,
    out_dir: Annotated[Path, typer.Option("--out", help="Where the pictures go.")] = Path("."),
    at: Annotated[
        list[str] | None, typer.Option(metavar="TIME", help="A column at this time. Repeatable.")
    ] = None,
) -> None:
    """Preview a scenario's world: what each camera sees over time, with labels, and a map."""
    from ecco_emu.core import units
    from ecco_emu.scenario import loading
    from ecco_emu.world.preview import contact_sheet, map_picture

    loaded = loading.load(scenario, files=False).scenario
    duration = loaded.windows.duration_s
    times = [units.parse_time(text) for text in at] if at else [duration * i / 5 for i in range(6)]
    out_dir.mkdir(parents=True, exist_ok=True)
    for name, picture in (
        (f"{loaded.name}-views.png", contact_sheet(loaded, times)),
        (f"{loaded.name}-map.png", map_picture(loaded)),
    ):
        (out_dir / name).write_bytes(picture)
        out.print(out_dir / name, highlight=False, soft_wrap=True)


RunsDir = Annotated[Path, typer.Option("--out", help="Where run directories are.")]


@app.command()
def plan(scenario: ScenarioPath, overrides: Overrides = None, as_json: Json = False) -> None:
    """Show the namespaces, links, addresses and shaping that a run would make. Needs no root."""
    from ecco_emu.emulation import live

    lines = run_async(live.plan(scenario, overrides or ()))
    if as_json:
        print(json.dumps(lines))
    else:
        for line in lines:
            out.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command("exec", context_settings={"ignore_unknown_options": True})
def execute(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN", help="A live run's directory.")],
    node: Annotated[str, typer.Argument(help="A camera's id, or server.")],
    command: Annotated[list[str], typer.Argument(metavar="-- CMD", help="The command.")],
) -> None:
    """Run a command inside a node's namespace of a live run (as root)."""
    from ecco_emu.emulation import live

    live.execute(run_dir, node, command)


@app.command()
def inject(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN", help="A live run's directory.")],
    fault: Annotated[list[str], typer.Argument(metavar="FAULT", help="Such as: cam2 down for=5s")],
    as_json: Json = False,
) -> None:
    """Inject a fault into a live run (as root).

    Written as in docs/scenario.md: `cam2 down for=5s`, `cam2 flap down=1s up=2s times=3`,
    `bottleneck set rate=2mbit`, `cam1,cam2/server partition for=5s`.
    """
    from ecco_emu.emulation import remote

    text = " ".join(fault)
    answer = run_async(remote.request(run_dir, text))
    if as_json:
        print(json.dumps({"fault": answer.fault, "at": answer.at}))
    else:
        out.print(f"fault\\[{answer.fault}]: {text}, at {answer.at:.1f} s", highlight=False, soft_wrap=True)


@app.command()
def ps(runs_dir: RunsDir = Path("runs"), as_json: Json = False) -> None:
    """List the live runs."""
    from ecco_emu.emulation import live

    found = [(path, one) for path, one in live.runs(runs_dir) if one.alive]
    if as_json:
        rows = [{"run": str(path), "pid": one.pid, "nodes": sorted(one.nodes)} for path, one in found]
        print(json.dumps(rows))
        return
    for path, one in found:
        out.print(f"{path}  pid {one.pid}  {len(one.nodes)} nodes", highlight=False, soft_wrap=True)


@app.command()
def clean(
    runs_dir: RunsDir = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show it.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what runs that were killed have left in their directories. Namespaces go by themselves."""
    from ecco_emu.emulation import live

    left = live.clean(runs_dir, dry_run=dry_run)
    if as_json:
        print(json.dumps([str(path) for path in left]))
        return
    for path in left:
        out.print(f"{'would remove' if dry_run else 'removed'} {path}", highlight=False, soft_wrap=True)


bench_app = typer.Typer(help="Measure this program on this host.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")


@bench_app.command("net")
def bench_net(
    seconds: Annotated[float, typer.Option(min=2, help="Length of each measurement of traffic.")] = 10.0,
    as_json: Json = False,
) -> None:
    """Measure the link lab (as root): rates, delays, faults, build times, beside Mininet if it is there."""
    from ecco_emu.bench import net as measure

    report = run_async(measure.measure(seconds, lambda text: err.print(f"[dim]{text} …[/]", highlight=False)))
    if as_json:
        print(json.dumps(report))
        return
    table = Table(title=report["host"], title_justify="left")
    for heading in ("what", "measured", "target"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    marks = {True: "[green]✓[/] ", False: "[red]✗[/] ", None: ""}
    for figure in report["figures"]:
        target = "" if figure["target"] is None else f"≤ {figure['target']:g} {figure['unit']}"
        measured = f"{marks[figure['met']]}{figure['value']:.3g} {figure['unit']}"
        table.add_row(figure["name"], measured, target)
    out.print(table)
    for note in report["notes"]:
        out.print(note, highlight=False, soft_wrap=True)


class BenchPart(StrEnum):
    """What ``bench transport`` can be confined to."""

    shares = "shares"
    fig11 = "fig11"
    convergence = "convergence"
    real = "real"
    cost = "cost"


class BenchMapping(StrEnum):
    """From weights to GAIMD's alphas."""

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
        Path | None, typer.Option(help="Results of an earlier run: what is in them is not measured again.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Simulations at one time; by default one a CPU.")
    ] = None,
    side_by_side: Annotated[int, typer.Option(min=1, help="Labs at one time, at most.")] = 4,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each simulated cell.")] = 5,
    repeats: Annotated[
        int | None,
        typer.Option(min=1, help="Runs of each cell on real links; by default what fits in half an hour."),
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
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Tables as Markdown.")] = False,
    plots_dir: Annotated[
        Path | None, typer.Option("--plots", help="Draw what was found into this directory (SVG).")
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
        jobs=jobs or len(os.sched_getaffinity(0)),
        side_by_side=side_by_side,
        warmup_s=warmup,
        measure_s=seconds,
        **given,
    )
    report = run_async(command.run(wanted, out_file=out_file, resume=resume, console=err))
    if plots_dir is not None:
        for path in command.draw(report, plots_dir):
            err.print(path, highlight=False, soft_wrap=True)
    if as_json:
        print(command.as_json(report))
    elif as_markdown:
        print(command.as_markdown(report))
    else:
        command.show(report, out)
