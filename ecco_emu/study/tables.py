"""Tables of text: for the terminal, and as Markdown for a page of documentation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from ecco_emu.study.statistics import Spread

NOTHING = "–"
"""The text of a cell without a value."""
_FIRST_COLUMN_WIDTH = 24
"""Names of rows are not folded to fewer characters than this in a narrow terminal."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text, each as long as ``headings``. The first column names the row; the others hold figures,
    and are aligned to the right. ``notes`` are sentences that belong below the table.

    Raises ``ValueError`` for a row that is longer or shorter.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.headings):
                raise ValueError(f"{self.title}: {len(self.headings)} columns, but a row of {len(row)}")


def markdown(tables: Iterable[Table]) -> str:
    """The tables as Markdown, each under a heading of the third level."""
    return "\n".join(line for one in tables for line in _markdown_lines(one))


def _markdown_lines(one: Table) -> Iterator[str]:
    yield f"### {one.title}"
    yield ""
    yield _markdown_row(one.headings)
    yield f"|{'|'.join('---:' if index else '---' for index in range(len(one.headings)))}|"
    yield from map(_markdown_row, one.rows)
    yield ""
    for note in one.notes:
        yield f"- {note}"
    if one.notes:
        yield ""


def _markdown_row(cells: Iterable[str]) -> str:
    # A bar within a cell would begin the next one.
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def show(tables: Iterable[Table], console: Console) -> None:
    """Prints the tables, each with its notes below it. Text is printed as it is, never read as rich's
    markup."""
    for one in tables:
        console.print(_for_terminal(one))
        for note in one.notes:
            console.print(note, highlight=False, markup=False, soft_wrap=True)


def _for_terminal(one: Table) -> RichTable:
    made = RichTable(title=Text(one.title), title_justify="left")
    names = max((len(row[0]) for row in one.rows), default=0)
    for index, heading in enumerate(one.headings):
        made.add_column(
            Text(heading),
            justify="right" if index else "left",
            overflow="fold",  # an ellipsis would hide digits
            min_width=0 if index else min(names, _FIRST_COLUMN_WIDTH),
        )
    for row in one.rows:
        made.add_row(*map(Text, row))
    return made


def number(value: float) -> str:
    """Two or three significant digits; ``never`` for infinity, as of a time that did not come.

    >>> number(123.4), number(12.34), number(1.234), number(0.1234)
    ('123', '12.3', '1.23', '0.12')
    """
    if math.isinf(value):
        return "never"
    size = abs(value)
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.{3 if size >= 1 else 2}g}"


def spread(figure: Spread | None, scale: float = 1.0) -> str:
    """``median (least to most)``, each times ``scale``; of a single run only its value, of none ``NOTHING``.

    >>> spread(Spread(0.02, 0.01, 0.05, runs=5), scale=100)
    '2 (1 to 5)'
    """
    if figure is None:
        return NOTHING
    median, least, most = (number(value * scale) for value in (figure.median, figure.least, figure.most))
    return median if figure.runs == 1 else f"{median} ({least} to {most})"
