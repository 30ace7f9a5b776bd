"""What experiments came out with: JSON lines that a later run can continue, and figures over repetitions."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec

from ecco_emu.bench.transport.experiment import Experiment, Mapping, Way
from ecco_emu.bench.transport.measures import Cost, Response, Result
from ecco_emu.core.errors import EccoError, ScenarioError


@dataclass(frozen=True, slots=True)
class Record:
    """One run of one experiment; without a result, why there is none."""

    experiment: Experiment
    way: Way
    result: Result | None = None
    response: Response | None = None
    cost: Cost | None = None
    unsupported: str | None = None
    took_s: float = 0.0


def load(path: Path) -> list[Record]:
    """The records of a file. A last line that was cut off, as by a crash, is left out.

    Raises ``ScenarioError`` for a file or a line that is something else.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise ScenarioError(f"cannot read results from {path}: {error.strerror}") from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(msgspec.json.decode(line, type=Record))
        except msgspec.MsgspecError as error:
            if number == len(lines) and not line.endswith(b"\n"):
                break
            raise ScenarioError(f"{path}:{number}: not a result of this benchmark ({error})") from error
    return records


class Writer:
    """Appends records to a file, each at once."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_broken_end(path)
        self._file: IO[bytes] = path.open("ab")

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, record: Record) -> None:
        self._file.write(msgspec.json.encode(record) + b"\n")
        self._file.flush()


def _drop_broken_end(path: Path) -> None:
    """What a crash left of a last line must not run into the next."""
    if path.exists() and (content := path.read_bytes()) and not content.endswith(b"\n"):
        path.write_bytes(content[: content.rfind(b"\n") + 1])


def missing(experiments: Iterable[Experiment], way: Way, known: Iterable[Record]) -> list[Experiment]:
    """The experiments of which no result is known; what was unsupported may be possible now."""
    have = {record.experiment for record in known if record.way == way and record.unsupported is None}
    return [experiment for experiment in experiments if experiment not in have]


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over repetitions."""

    median: float
    least: float
    most: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises ``ValueError`` for no values."""
        if not values:
            raise ValueError("no values")
        return cls(statistics.median(values), min(values), max(values), len(values))


Column = tuple[Way, Mapping]
Figure = Callable[[Record], float | None]


def table(records: Iterable[Record], group: str, figure: Figure) -> dict[str, dict[Column, Spread]]:
    """By label, then by way and mapping: a figure over the repetitions that have it, as they appeared."""
    values: dict[str, dict[Column, list[float]]] = {}
    for record in records:
        if record.experiment.group != group or (value := figure(record)) is None:
            continue
        column = record.way, record.experiment.cell.mapping
        values.setdefault(record.experiment.label, {}).setdefault(column, []).append(value)
    return {
        label: {column: Spread.of(found) for column, found in columns.items()}
        for label, columns in values.items()
    }


def of_result(name: str) -> Figure:
    """A field of the result."""

    def figure(record: Record) -> float | None:
        value = None if record.result is None else getattr(record.result, name)
        return None if value is None else float(value)

    return figure


def of_cost(name: str) -> Figure:
    """A field of the cost."""

    def figure(record: Record) -> float | None:
        value = None if record.cost is None else getattr(record.cost, name)
        return None if value is None else float(value)

    return figure


def reached(record: Record) -> float | None:
    """How long a change took to be followed; infinite if it never was."""
    if record.response is None:
        return None
    return float("inf") if record.response.reached_s is None else record.response.reached_s


@dataclass(frozen=True, slots=True)
class Difference:
    """Between simulated and real: of the cells measured both ways, the medians over repetitions."""

    median: float
    most: float
    cells: int


def difference(records: Sequence[Record], mapping: Mapping) -> Difference | None:
    """How far the simulated share is from the real: per cell the largest difference of a flow's share (median
    over repetitions), relative to its weighted share. None if no cell was measured both ways."""
    shares: dict[str, dict[Way, list[tuple[float, ...]]]] = {}
    weights: dict[str, tuple[float, ...]] = {}
    for record in records:
        cell = record.experiment.cell
        if record.result is None or record.experiment.change is not None or cell.mapping != mapping:
            continue
        label = f"{record.experiment.group} {record.experiment.label}"
        weights[label] = cell.weights
        shares.setdefault(label, {}).setdefault(record.way, []).append(record.result.share)
    gaps = []
    for label, by_way in shares.items():
        if len(by_way) < 2:
            continue
        total = sum(weights[label])
        pairs = zip(_medians(by_way["simulated"]), _medians(by_way["real"]), weights[label], strict=True)
        gaps.append(max(abs(one - other) * total / weight for one, other, weight in pairs))
    return Difference(statistics.median(gaps), max(gaps), len(gaps)) if gaps else None


def _medians(shares: Sequence[Sequence[float]]) -> list[float]:
    """Each flow's median over repetitions."""
    return [statistics.median(flow) for flow in zip(*shares, strict=True)]


def failure(experiment: Experiment, way: Way, error: EccoError) -> Record:
    """What could not be measured, and why."""
    return Record(experiment, way, unsupported=str(error))
