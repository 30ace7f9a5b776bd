"""Verbs for live runs and for the remains of killed ones: exec, inject, ps, clean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecco_emu.cli.app import Json, answer, app, out, show_warnings
from ecco_emu.host.event_loop import run_until_signalled

RunsDir = Annotated[Path, typer.Option("--out", help="Where run directories are.")]


@app.command("exec", context_settings={"ignore_unknown_options": True})
def execute(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN", help="A live run's directory.")],
    node: Annotated[str, typer.Argument(help="A camera's id, or server.")],
    command: Annotated[list[str], typer.Argument(metavar="-- CMD", help="The command.")],
) -> None:
    """Run a command inside a node's namespace of a live run (as root)."""
    from ecco_emu.emulation.live import runs

    runs.execute(run_dir, node, command, warn=lambda lack: show_warnings([f"warning: {lack}"]))


@app.command()
def inject(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN", help="A live run's directory.")],
    fault: Annotated[list[str], typer.Argument(metavar="FAULT", help="Such as: cam2 down for=5s")],
    as_json: Json = False,
) -> None:
    """Inject a fault into a live run (as root).

    Written as in docs/reference/scenario.md: `cam2 down for=5s`, `cam2 flap down=1s up=2s times=3`,
    `bottleneck set rate=2mbit`, `cam1,cam2/server partition for=5s`.
    """
    from ecco_emu.emulation.live import remote

    text = " ".join(fault)
    injected = run_until_signalled(remote.request(run_dir, text))
    if as_json:
        answer({"fault": injected.fault, "at": injected.at})
    else:
        out.print(f"fault[{injected.fault}]: {text}, at {injected.at:.1f} s", soft_wrap=True)


@app.command()
def ps(runs_dir: RunsDir = Path("runs"), as_json: Json = False) -> None:
    """List the live runs."""
    from ecco_emu.emulation.live import runs

    found = [
        (one.directory, one.run, runs.reached_s(one.directory), one.liveness)
        for one in runs.under(runs_dir)
        if one.liveness != "dead"
    ]
    if as_json:
        rows = [
            {
                "run": path,
                "name": run.name,
                "policy": run.policy,
                "t": reached_s,
                "duration_s": run.duration_s,
                "pid": run.pid,
                "nodes": sorted(run.nodes),
                "liveness": liveness,
            }
            for path, run, reached_s, liveness in found
        ]
        answer(rows)
        return
    if not found:
        out.print(f"no live runs in {runs_dir}", soft_wrap=True)
    for path, run, reached_s, liveness in found:
        parts = [str(path), f"policy {run.policy}", _progress(run.duration_s, reached_s)]
        parts += [f"{len(run.nodes)} nodes", f"pid {run.pid}"]
        if liveness == "unknown":
            parts.append("(perhaps dead: this file system keeps no locks)")
        out.print("  ".join(parts), soft_wrap=True)


def _progress(duration_s: float, reached_s: float | None) -> str:
    """How far a run has come, in emulated time."""
    if reached_s is None:
        return "starting"
    if reached_s >= duration_s:
        return "measuring its students"
    return f"{reached_s:.1f} of {duration_s:g} s"


@app.command()
def clean(
    runs_dir: RunsDir = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show it.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what runs that were killed have left in their directories. Namespaces go by themselves."""
    from ecco_emu.emulation.live import runs

    cleaned = runs.clean(runs_dir, dry_run=dry_run)
    show_warnings(
        f"left alone: {path}; this file system keeps no locks, so it cannot be told whether the run lives"
        for path in cleaned.unknown
    )
    if as_json:
        answer(cleaned.removed)
        return
    for path in cleaned.removed:
        out.print(f"{'would remove' if dry_run else 'removed'} {path}", soft_wrap=True)
