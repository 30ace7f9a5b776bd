"""Verbs for live runs and for the remains of killed ones: exec, inject, ps, clean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecco_emu.cli.app import Json, answer, app, out
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

    runs.execute(run_dir, node, command)


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
        out.print(
            f"fault\\[{injected.fault}]: {text}, at {injected.at:.1f} s", highlight=False, soft_wrap=True
        )


@app.command()
def ps(runs_dir: RunsDir = Path("runs"), as_json: Json = False) -> None:
    """List the live runs."""
    from ecco_emu.emulation.live import runs

    found = [(path, one) for path, one in runs.under(runs_dir) if one.alive]
    if as_json:
        rows = [{"run": path, "pid": one.pid, "nodes": sorted(one.nodes)} for path, one in found]
        answer(rows)
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
    from ecco_emu.emulation.live import runs

    left = runs.clean(runs_dir, dry_run=dry_run)
    if as_json:
        answer(left)
        return
    for path in left:
        out.print(f"{'would remove' if dry_run else 'removed'} {path}", highlight=False, soft_wrap=True)
