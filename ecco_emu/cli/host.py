"""``ecco-emu doctor``: this host."""

from __future__ import annotations

import sys

from rich.table import Table
from rich.text import Text

from ecco_emu.cli.app import Json, answer, app, out


@app.command()
def doctor(as_json: Json = False) -> None:
    """Show what this host can do, and what to install or change for the rest."""
    from ecco_emu.emulation import doctor as examine

    findings = examine.examine()
    if as_json:
        answer(findings)
    else:
        table = Table(title="this host", title_justify="left")
        for heading in ("", "what", "found", "way out"):
            table.add_column(heading)
        marks = {"ok": Text("✓", "green"), "degraded": Text("~", "yellow"), "missing": Text("✗", "red")}
        for finding in findings:
            cells = (finding.what, finding.found, finding.way_out)
            table.add_row(marks[finding.state], *map(Text, cells))  # a way out may have brackets: no markup
        out.print(table)
    # degraded is no failure: such a host can still run scenarios
    sys.exit(3 if any(finding.state == "missing" for finding in findings) else 0)
