"""``ecco-emu report``: builds the page of a run, or of several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecco_emu.cli.app import Json, answer, app, out, show_warnings


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.", show_default=False)],
    out_file: Annotated[
        Path, typer.Option("--out", help="Where the comparison of several runs goes.")
    ] = Path("comparison.html"),
    as_json: Json = False,
) -> None:
    """Build report.html of a run again, or one page that compares several runs."""
    from ecco_emu.record.rundir import RunDirectory, write_where_told
    from ecco_emu.report.comparison import compare
    from ecco_emu.report.html import render_comparison, write_report
    from ecco_emu.report.runs import load

    directories = [RunDirectory.open(path) for path in runs]
    found = compare(directories) if len(directories) > 1 else None
    if found is None:
        out_file = write_report(directories[0])
    else:
        write_where_told(out_file, render_comparison(found).encode())
    if as_json:
        summaries = [{"directory": one.path, "summary": load(one).summary} for one in directories]
        compared = {} if found is None else {"cautions": found.cautions, "outcome": found.outcome}
        answer({"report": out_file, "runs": summaries, **compared})
        return
    if found is not None:
        show_warnings(found.cautions)
        if found.outcome:
            out.print(found.outcome, soft_wrap=True)
    out.print(out_file, soft_wrap=True)
