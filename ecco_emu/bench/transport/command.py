"""``ecco-emu bench transport`` between the command line and the measurements: progress, files, output."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable

import netns
from ecco_emu.bench.host import compiled, describe
from ecco_emu.bench.transport import plots, records, tables
from ecco_emu.bench.transport.records import Record
from ecco_emu.bench.transport.run import Options, run_all
from ecco_emu.core.errors import ScenarioError


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is known after a run, what was known before it included."""

    host: str
    records: list[Record]
    path: Path
    """Where the records are."""


async def run(options: Options, *, out_file: Path | None, resume: Path | None, console: Console) -> Report:
    """Measures what the options ask for. Interrupted, what is done is in the file, and ``resume`` goes on
    from there. Raises ``HostError``, or ``ScenarioError`` for a file that holds something else."""
    known = records.load(resume) if resume is not None else []
    path = out_file or resume or _new_file()
    found = list(known)
    with records.Writer(path) as writer, _progress(console) as progress:
        phase: list[Any] = []

        def on_phase(what: str, count: int) -> None:
            if count:
                phase.append(progress.add_task(what, total=count))

        def on_record(record: Record) -> None:
            writer.write(record)
            found.append(record)
            progress.advance(phase[-1])

        console.print(f"results go to {path}", highlight=False, soft_wrap=True)
        if not compiled():
            hint = "the transport is interpreted; `make compiled` makes simulation three times as fast"
            console.print(hint, highlight=False, soft_wrap=True)
        await run_all(options, known, on_phase, on_record)
    return Report(describe(await netns.probe()), found, path)


def alpha_sum(text: str) -> float | None:
    """A number, or ``proportional`` (None). Raises ``ScenarioError``."""
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


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def show(report: Report, console: Console) -> None:
    """Prints the tables."""
    for one in tables.all_tables(report.records):
        table = RichTable(title=one.title, title_justify="left")
        for index, heading in enumerate(one.headings):
            table.add_column(heading, justify="right" if index else "left", min_width=0 if index else 24)
        for row in one.rows:
            table.add_row(*row)
        console.print(table)
        for note in one.notes:
            console.print(note, highlight=False, markup=False, soft_wrap=True)
    console.print(report.host, highlight=False, soft_wrap=True)
    console.print(f"results  {report.path}", highlight=False, soft_wrap=True)


def as_markdown(report: Report) -> str:
    """The tables for a page of documentation."""
    return f"{report.host}\n\n{tables.markdown(tables.all_tables(report.records))}"


def as_json(report: Report) -> str:
    """Host, tables and every single result, without the courses of rates, which are in the file."""
    results = [
        replace(one, response=replace(one.response, t_s=(), rates_bps=())) if one.response else one
        for one in report.records
    ]
    data = {"host": report.host, "tables": tables.all_tables(report.records), "results": results}
    return msgspec.json.encode(data).decode()


def draw(report: Report, directory: Path) -> list[Path]:
    """Writes the pictures for which there are results; where they are."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, picture in plots.pictures(report.records).items():
        path = directory / f"{name}.svg"
        path.write_text(picture, encoding="utf-8")
        written.append(path)
    return written
