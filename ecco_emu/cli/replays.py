"""``ecco-emu replay``: a recorded run once more, in virtual time, under another policy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecco_emu.cli.app import Json, Overrides, PolicyName, Seed, answer, app, err, figure, out, show_warnings
from ecco_emu.cli.run import EXIT_CODES, RunTeller, carry_out, print_run

if TYPE_CHECKING:
    from ecco_emu.emulation.replay import RunReplay
    from ecco_emu.report.comparison import RunComparison
    from ecco_emu.study.tables import Table


@app.command()
def replay(
    run: Annotated[Path, typer.Argument(help="The recorded run's directory.", show_default=False)],
    policy: PolicyName = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Where the replay's run directory is made.")] = Path(
        "runs"
    ),
    seed: Seed = None,
    overrides: Overrides = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No view and no tables: only the outcome, and problems.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Replay a recorded run under another policy: simulated, with modelled training, in seconds."""
    from ecco_emu.emulation.replay import prepare
    from ecco_emu.record.rundir import RunDirectory
    from ecco_emu.report.comparison import compare

    teller = RunTeller(quiet=quiet)
    prepared = prepare(run, policy=policy, seed=seed, overrides=overrides or (), out=out_dir, progress=teller)
    emulation = prepared.emulation
    show_warnings(emulation.warnings)
    if not as_json:
        err.print(_title(prepared), soft_wrap=True)
    ran = carry_out(emulation, None, teller, quiet=quiet or as_json)
    compared = compare([RunDirectory.open(run), RunDirectory.open(ran.directory)])
    cautions = [*prepared.cautions, *compared.cautions]
    if as_json:
        answer({**ran.as_data(), "replay_of": prepared.recorded, "cautions": cautions})
    else:
        print_run(emulation, ran, quiet=quiet)
        _print_differences(prepared, compared, cautions, quiet=quiet)
    sys.exit(EXIT_CODES[ran.status])


def _title(prepared: RunReplay) -> str:
    scenario = prepared.emulation.scenario
    return (
        f"replay of {prepared.recorded.told()}: policy {scenario.policy.name}, trainer curve, a model of "
        "training"
    )


def _print_differences(
    prepared: RunReplay, compared: RunComparison, cautions: list[str], *, quiet: bool
) -> None:
    from ecco_emu.study import tables

    out.print(_title(prepared), soft_wrap=True)
    if quiet:
        return
    tables.show([_table(compared)], out)
    for caution in cautions:
        out.print(caution, soft_wrap=True, highlight=False, markup=False)
    if prepared.recorded.trainer != "curve":
        out.print(
            "To compare policies, replay the run under each of them: the model of training is then the same.",
            soft_wrap=True,
        )


def _table(compared: RunComparison) -> Table:
    """A column for each of the two runs."""
    from ecco_emu.report.comparison import row
    from ecco_emu.study.tables import NOTHING, Table, number

    def percent(value: float | None) -> str:
        return NOTHING if value is None else f"{value:.1%}"

    rows = [row(*each) for each in zip(compared.labels, compared.whole, compared.cut, strict=True)]
    figures: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("mean mAP", lambda run: figure(run["mean"])),
        ("mean mAP after drift", lambda run: figure(run["drifted"])),
        ("mAP at the end", lambda run: figure(run["final"])),
        ("answered requests", lambda run: run["answered"] or NOTHING),
        ("response time", lambda run: NOTHING if run["response"] is None else f"{number(run['response'])} s"),
        ("segments in time", lambda run: percent(run["in_time"])),
        ("share error", lambda run: percent(run["share_error"])),
    ]
    return Table(
        f"the first {compared.until_s:g} s of both",
        ("", *(f"{which}: {run['label']}" for which, run in zip(("recorded", "replay"), rows, strict=True))),
        tuple((name, *(words(run) for run in rows)) for name, words in figures),
    )
