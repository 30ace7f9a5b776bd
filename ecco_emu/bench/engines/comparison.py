"""Real runs of one scenario against its simulated run: figure beside figure, and whether they agree.

Pure. Two simulated runs are equal, two real ones are not: their spread is what chance does on real links. So
a figure agrees where the simulated one lies within the spread of the real ones. With few real runs the spread
is itself a matter of chance, so that goodput, shares and segments delivered also agree within a few per cent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from ecco_emu.bench.engines.figures import FigureKind, RunFigure, group_name
from ecco_emu.study.tables import NOTHING, Table, number

TOLERANCES: dict[FigureKind, float] = {"goodput": 0.03, "share": 0.03, "delivered": 0.02}
"""By so much, relative to the real mean, these may be apart whatever the spread."""
RUNS_WITH_A_SPREAD = 2

EndGroups = tuple[tuple[str, ...], ...]
"""The members of each group, sorted, in order."""


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """One figure of the real runs and of the simulated one, in the figure's own unit."""

    kind: FigureKind
    subject: str
    real: tuple[float, ...]
    """Of each real run that has it."""
    simulated: float | None
    """None where the simulated run has none."""

    @property
    def mean(self) -> float | None:
        return fmean(self.real) if self.real else None

    @property
    def difference(self) -> float | None:
        """Of the simulated from the real mean, relative to it; infinite where only that is 0."""
        if self.mean is None or self.simulated is None:
            return None
        if self.mean == 0:
            return 0.0 if self.simulated == 0 else math.inf
        return self.simulated / self.mean - 1.0

    @property
    def agrees(self) -> bool | None:
        """None: nothing to hold against each other, or one real run alone, which has no spread."""
        if self.mean is None or self.simulated is None:
            return None
        if abs(self.simulated - self.mean) <= TOLERANCES.get(self.kind, 0.0) * self.mean:
            return True
        if len(self.real) >= RUNS_WITH_A_SPREAD:
            return min(self.real) <= self.simulated <= max(self.real)
        return False if self.kind in TOLERANCES else None


@dataclass(frozen=True, slots=True)
class ScenarioComparison:
    """Both engines' runs of one scenario."""

    scenario: str
    figures: tuple[ComparedFigure, ...]
    real_groups: tuple[EndGroups, ...]
    """At the end of each real run."""
    simulated_groups: EndGroups | None
    notes: tuple[str, ...] = ()

    @property
    def same_groups(self) -> bool | None:
        """Whether the simulated run ended with the groups of a real one. None: one of the two is missing."""
        if not self.real_groups or self.simulated_groups is None:
            return None
        return self.simulated_groups in self.real_groups

    def worst(self, kind: FigureKind) -> float | None:
        """The largest difference of that kind, without its sign."""
        found = [one.difference for one in self.figures if one.kind == kind]
        return max((abs(each) for each in found if each is not None), default=None)

    @property
    def judged(self) -> list[ComparedFigure]:
        return [one for one in self.figures if one.agrees is not None]


def compare(
    scenario: str,
    real: Sequence[tuple[Iterable[RunFigure], EndGroups]],
    simulated: tuple[Iterable[RunFigure], EndGroups] | None,
    notes: Iterable[str] = (),
) -> ScenarioComparison:
    """Of each run its figures and its groups. Figures are in the order in which they first come."""
    values: dict[tuple[FigureKind, str], list[float]] = {}
    for figures, _ in real:
        for one in figures:
            values.setdefault((one.kind, one.subject), []).append(one.value)
    other = {(one.kind, one.subject): one.value for one in simulated[0]} if simulated is not None else {}
    keys = dict.fromkeys([*values, *other])
    compared = (ComparedFigure(*key, tuple(values.get(key, ())), other.get(key)) for key in keys)
    return ScenarioComparison(
        scenario,
        tuple(sorted(compared, key=lambda one: KINDS.index(one.kind))),
        tuple(groups for _, groups in real),
        simulated[1] if simulated is not None else None,
        tuple(notes),
    )


KINDS: tuple[FigureKind, ...] = (
    "goodput", "share", "loss", "delivered", "late", "lost", "students", "transfer time", "response time",
)  # fmt: skip
"""In the order of tables."""


def scenario_table(one: ScenarioComparison) -> Table:
    rows = [
        (
            f"{figure.kind}, {figure.subject}",
            NOTHING if figure.mean is None else _text(figure.kind, figure.mean),
            _spread(figure),
            NOTHING if figure.simulated is None else _text(figure.kind, figure.simulated),
            _percent(figure.difference, signed=True),
            _yes(figure.agrees),
        )
        for figure in one.figures
    ]
    groups = list(dict.fromkeys(map(_groups, one.real_groups)))
    rows.append(
        (
            "groups at the end",
            " or ".join(groups) or NOTHING,
            NOTHING,
            NOTHING if one.simulated_groups is None else _groups(one.simulated_groups),
            NOTHING,
            _yes(one.same_groups),
        )
    )
    headings = ("figure", "real", "spread", "simulated", "apart", "agrees")
    title = f"{one.scenario}: means of {len(one.real_groups)} real runs, and the simulated run"
    return Table(title, headings, tuple(rows), one.notes)


def summary_table(compared: Sequence[ScenarioComparison]) -> Table:
    """A row for each scenario."""
    rows = tuple(
        (
            one.scenario,
            str(len(one.real_groups)),
            f"{sum(figure.agrees is True for figure in one.judged)} of {len(one.judged)}",
            _percent(one.worst("goodput")),
            _percent(one.worst("share")),
            _percent(one.worst("delivered")),
            _yes(one.same_groups),
        )
        for one in compared
    )
    headings = (
        "scenario", "real runs", "figures that agree", "goodput apart", "shares apart", "delivered apart",
        "same groups",
    )  # fmt: skip
    return Table(
        "real links and simulated ones",
        headings,
        rows,
        (
            "A figure agrees if the simulated one lies within the spread of the real runs, or is no more "
            "than 3 % (goodput, shares) or 2 % (segments delivered) from their mean.",
            "Apart: the largest difference from the real mean.",
        ),
    )


def _text(kind: FigureKind, value: float) -> str:
    if kind == "goodput":
        return f"{value / 1e3:.0f} kbit"
    if kind in ("loss", "share"):
        return f"{value:.2%}"
    if kind in ("transfer time", "response time"):
        return f"{value:.2f} s"
    return number(value) if value else "0"


def _spread(figure: ComparedFigure) -> str:
    if len(figure.real) < RUNS_WITH_A_SPREAD:
        return NOTHING
    return f"{_text(figure.kind, min(figure.real))} to {_text(figure.kind, max(figure.real))}"


def _percent(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return NOTHING
    if math.isinf(value):
        return "∞"
    return f"{value:+.1%}" if signed else f"{value:.1%}"


def _groups(groups: EndGroups) -> str:
    return " | ".join(map(group_name, groups)) or "none"


def _yes(value: bool | None) -> str:
    return NOTHING if value is None else ("yes" if value else "no")
