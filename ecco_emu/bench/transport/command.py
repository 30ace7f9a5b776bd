"""Between the command line and the measurements: the file of results, progress, output."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

import netns
from ecco_emu.bench.host import compiled, describe
from ecco_emu.bench.transport import plots
from ecco_emu.bench.transport.records import Record
from ecco_emu.bench.transport.run import Options, run_all
from ecco_emu.bench.transport.tables import all_tables
from ecco_emu.core.errors import ScenarioError
from ecco_emu.study import records, tables
from ecco_emu.study.progress import PhaseBars


@dataclass(frozen=True, slots=True)
class TransportReport:
    """All results that are known after a run, those of the file that it continued included."""

    host: str
    records: list[Record]
    path: Path
    """The file with the records."""

    def show(self, console: Console) -> None:
        """Prints the tables, and where the results are."""
        tables.show(all_tables(self.records), console)
        console.print(self.host, highlight=False, soft_wrap=True)
        console.print(f"results  {self.path}", highlight=False, soft_wrap=True)

    def as_markdown(self) -> str:
        """The host and the tables, for a page of documentation."""
        return f"{self.host}\n\n{tables.markdown(all_tables(self.records))}"

    def as_data(self) -> dict[str, Any]:
        """Host, tables and each result. Rates over time are left out, for their size; they are in the
        file."""
        results = [
            replace(one, response=replace(one.response, t_s=(), rates_bps=())) if one.response else one
            for one in self.records
        ]
        return {"host": self.host, "tables": all_tables(self.records), "results": results}

    def draw(self, directory: Path) -> list[Path]:
        """Writes the pictures for which there are results; returns their paths."""
        directory.mkdir(parents=True, exist_ok=True)
        written = []
        for name, picture in plots.pictures(self.records).items():
            path = directory / f"{name}.svg"
            path.write_text(picture, encoding="utf-8")
            written.append(path)
        return written


async def run(
    options: Options, *, out_file: Path | None, resume: Path | None, console: Console
) -> TransportReport:
    """Measures whatever the options ask for and the file ``resume`` does not have.

    Each result is appended to ``out_file``, by default ``resume``, by default a new file in ``runs/``. After
    an interruption, ``resume`` goes on from that file. ``console`` shows the progress.

    Raises ``HostError`` where labs are needed and cannot be built, and ``ScenarioError`` for a file of other
    data.
    """
    known = records.load(resume, Record) if resume is not None else []
    path = out_file or resume or _new_file()
    found = list(known)
    with records.Writer[Record](path) as writer, PhaseBars(console) as bars:

        def on_record(record: Record) -> None:
            writer.write(record)
            found.append(record)
            bars.advance()

        console.print(f"results go to {path}", highlight=False, soft_wrap=True)
        if not compiled():
            hint = "the transport is interpreted; `make compiled` makes simulation three times as fast"
            console.print(hint, highlight=False, soft_wrap=True)
        await run_all(options, known, bars.begin, on_record)
    return TransportReport(describe(await netns.probe()), found, path)


def alpha_sum(text: str) -> float | None:
    """The value of ``--alpha-sum``: a positive number, or None for ``proportional``. Raises
    ``ScenarioError``."""
    if text == "proportional":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ScenarioError(f"--alpha-sum is a positive number or 'proportional', not {text!r}")
    return value


def _new_file() -> Path:
    now = datetime.datetime.now(datetime.UTC)
    return Path("runs") / f"bench-transport-{now:%Y%m%dT%H%M%SZ}.jsonl"
