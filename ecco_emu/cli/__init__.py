"""The command line. Each verb is a few lines that call the package that does the work.

There is one module for each family of verbs; ``app`` has the parts that they share. A verb imports heavy
packages only when it is called, so that ``--help`` does not wait for torch and plotly.

Exit codes: 0 done and every expectation held, 1 an expectation failed, 2 bad input, 3 this host cannot,
4 done but degraded, 70 a fault in this program, 130 interrupted and cleaned up
(docs/reference/command-line.md).
"""

from __future__ import annotations

import sys
from typing import NoReturn

from ecco_emu.cli import (  # noqa: F401 - they add their verbs
    bench,
    engines,
    failures,
    host,
    live,
    replays,
    reports,
    run,
    scenarios,
    streams,
    students,
)
from ecco_emu.cli.app import app, verb_of

_ORDER = (
    "run",
    "init",
    "check",
    "doctor",
    "plan",
    "world",
    "report",
    "replay",
    "inject",
    "exec",
    "ps",
    "clean",
    "pretrain",
    "schema",
)
"""Of the verbs in ``--help``: the ones that a newcomer needs come first. Groups such as ``bench`` follow."""

app.registered_commands.sort(key=lambda command: _ORDER.index(verb_of(command)))


def main() -> NoReturn:
    """Runs a verb and ends the process with its exit code. Every error ends in one clear message."""
    streams.harden()
    app()
    sys.exit(0)
