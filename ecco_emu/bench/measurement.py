"""One measured figure beside its target, and the table of many. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ecco_emu.study.tables import Table, number


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measured value. ``value`` and ``target`` are in ``unit``; ``target`` None: there is none. The value
    should be at most the target, or with ``at_least`` at least the target."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target


def table(title: str, measurements: Iterable[Measurement], text: Callable[[float], str] = number) -> Table:
    """A row for each measurement. ``text`` writes the figures."""
    rows = tuple(_row(one, text) for one in measurements)
    return Table(title, ("what", "measured", "target", "met"), rows)


def _row(one: Measurement, text: Callable[[float], str]) -> tuple[str, ...]:
    measured = f"{text(one.value)} {one.unit}"
    if one.target is None:
        return one.name, measured, "", ""
    target = f"{'≥' if one.at_least else '≤'} {text(one.target)} {one.unit}"
    return one.name, measured, target, "yes" if one.met else "no"
