"""``ecco-emu report``: builds the page of a run, or of several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecco_emu.cli.app import Json, answer, app, out


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.", show_default=False)],
    out_file: Annotated[
        Path, typer.Option("--out", help="Where the comparison of several runs goes.")
    ] = Path("comparison.html"),
    as_json: Json = False,
) -> None:
    """Build report.html of a run again, or one page that compares several runs."""
    from ecco_emu.record.rundir import RunDirectory, write_atomically
    from ecco_emu.report.html import build_report, load, write_report

    directories = [RunDirectory.open(path) for path in runs]
    if len(directories) == 1:
        out_file = write_report(directories[0])
    else:
        write_atomically(out_file, build_report(directories).encode())
    if as_json:
        summaries = [{"directory": one.path, "summary": load(one).summary} for one in directories]
        answer({"report": out_file, "runs": summaries})
    else:
        out.print(out_file, highlight=False, soft_wrap=True)
