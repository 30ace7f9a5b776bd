"""Tables as Markdown and on a terminal, and figures as text."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from ecco_emu.study.statistics import Spread
from ecco_emu.study.tables import Table, markdown, number, show, spread

TABLE = Table("Figures", ("what", "|x|"), (("a|b", "1"), ("[red]c[/]", "2")), ("measured [twice]",))


def test_markdown_keeps_a_bar_within_its_cell() -> None:
    assert markdown([TABLE]).splitlines() == [
        "### Figures",
        "",
        "| what | \\|x\\| |",
        "|---|---:|",
        "| a\\|b | 1 |",
        "| [red]c[/] | 2 |",
        "",
        "- measured [twice]",
    ]


def test_a_terminal_shows_text_as_it_is() -> None:
    console = Console(file=io.StringIO(), width=80)
    show([TABLE], console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[red]c[/]" in text
    assert "measured [twice]" in text
    assert "Figures" in text


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 columns, but a row of 1"):
        Table("Figures", ("what", "x"), (("a",),))


@pytest.mark.parametrize(
    ("value", "text"),
    [(123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.1234, "0.12"), (-12.34, "-12.3"), (0, "0")],
)
def test_numbers_have_few_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_infinity_is_never() -> None:
    assert number(math.inf) == "never"


def test_a_spread_is_shown_only_of_several_runs() -> None:
    assert spread(Spread(0.1, 0.05, math.inf, 3), 100) == "10.0 (5 to never)"
    assert spread(Spread(0.1, 0.1, 0.1, 1), 100) == "10.0"
    assert spread(None) == "–"
