"""Bars of a long study's phases."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ecco_emu.study.progress import PhaseBars


def test_a_phase_has_a_bar_unless_it_is_empty() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with PhaseBars(console) as bars:
        bars.begin("nothing to do", 0)
        bars.begin("measuring", 3)
        bars.advance()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "nothing to do" not in text
    assert "measuring" in text
    assert "1/3" in text


def test_nothing_can_advance_before_a_phase() -> None:
    with PhaseBars(Console(file=io.StringIO())) as bars, pytest.raises(ValueError, match="no phase"):
        bars.advance()
