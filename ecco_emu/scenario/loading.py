"""Loads a file as a ``Scenario``, or finds every problem in it, each with its line and column."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from ecco_emu.scenario import cautions, profiles, semantics, wording
from ecco_emu.scenario.document import Document, parse
from ecco_emu.scenario.overrides import apply_option, apply_sets
from ecco_emu.scenario.problems import InvalidScenario, Path, Place, Problem, did_you_mean, path_text
from ecco_emu.scenario.schema import Scenario
from ecco_emu.scenario.text import read_text


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """A checked scenario and the file that it came from."""

    scenario: Scenario
    path: FilePath
    warnings: tuple[Problem, ...] = ()
    """What is odd in it, though it can run; in order of place."""


def load(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    seed: int | None = None,
    dilation: str | float | None = None,
    policy: str | None = None,
    engine: str | None = None,
    *,
    files: bool = True,
    checks: semantics.Checks | None = None,
) -> LoadedScenario:
    """Reads, changes and checks a scenario: a file, or a shipped one by its name (``profiles.scenarios``).

    ``overrides`` are texts ``dotted.path=value``, as for ``--set``. ``seed``, ``dilation``, ``policy`` and
    ``engine`` are applied after them and win. With ``files=False`` the files of weights, traces and tables
    need not be there, for commands that do not use them. ``checks`` are those of upper layers. Relative paths
    start at the scenario's folder or, in ``overrides``, at the current one; all paths come out absolute.

    Raises ``InvalidScenario`` with every problem there is.
    """
    file = profiles.scenario_path(path)
    text, problem = read_text(file)
    if problem is not None:
        known = [] if os.path.exists(file) else profiles.scenarios()
        hint = did_you_mean(str(file.with_suffix("")), known)
        raise InvalidScenario([replace(problem, message=f"{problem.message}{hint}")])
    document = parse(text, str(file))
    problems = list(document.problems)
    # a file that is no YAML at all has nothing to check: its syntax error stands alone
    if document.data is not None or not problems:
        options = {
            "seed": ("seed", seed),
            "dilation": ("clock.dilation", dilation),
            "policy": ("policy.name", policy),
            "engine": ("network.engine", engine),
        }
        problems += apply_sets(document, overrides)
        for name, (key, value) in options.items():
            if value is not None:
                problems += apply_option(document, key, str(value), f"--{name} {value}")
        _absolute_paths(document, file.parent)
        scenario, found = _validated(document, files, checks)
        problems += found
        if scenario is not None and not problems:
            return LoadedScenario(scenario, file, tuple(_warnings(document, scenario, checks)))
    raise InvalidScenario(_in_order(problems))


def check(paths: Iterable[str | os.PathLike[str]], *, files: bool = True) -> list[Problem]:
    """Every problem in these files; empty when all of them can run."""
    problems: list[Problem] = []
    for path in paths:
        try:
            load(path, files=files)
        except InvalidScenario as error:
            problems += error.problems
    return problems


def from_mapping(data: Mapping[str, Any], *, source: str = "scenario", files: bool = True) -> Scenario:
    """A scenario from plain data with units, checked like a file. Raises ``InvalidScenario``."""
    document = Document(source, dict(data), {(): Place(source)})
    scenario, problems = _validated(document, files)
    if scenario is None or problems:
        raise InvalidScenario(_in_order(problems))
    return scenario


def _absolute_paths(document: Document, folder: FilePath) -> None:
    """Makes paths of weights, traces and tables absolute: a run directory's scenario.yaml works from any
    folder."""

    def is_teacher(value: str) -> bool:
        return os.sep in value or value.endswith((".pt", ".safetensors"))

    places: list[tuple[Path, Callable[[str], bool]]] = [
        (("trainer", "student"), profiles.looks_like_path),
        (("trainer", "teacher"), is_teacher),
        (("trainer", "table"), profiles.looks_like_table_path),
    ]
    places += [
        (("cameras", index, "source", "table"), profiles.looks_like_table_path)
        for index in range(_cameras(document))
    ]
    places += [(path, profiles.looks_like_trace_path) for path in _trace_places(document)]
    for path, is_path in places:
        try:
            value, holder = document.at(path), document.at(path[:-1])
        except LookupError:
            continue
        if isinstance(value, str) and isinstance(holder, dict) and "\0" not in value and is_path(value):
            # an option of the command line has no line: its paths start at the current folder
            base = folder if document.place(path).line > 0 else FilePath()
            holder[path[-1]] = str(base.absolute() / FilePath(value).expanduser())


def _trace_places(document: Document) -> Iterator[Path]:
    """The paths at which a trace's name can stand: as ``trace`` itself, or as the ``file`` of its mapping."""
    links: list[Path] = [("network", name) for name in ("bottleneck", "uplink", "downlink")]
    links += [("cameras", index, "uplink") for index in range(_cameras(document))]
    for link in links:
        yield (*link, "trace")
        yield (*link, "trace", "file")


def _cameras(document: Document) -> int:
    data = document.data if isinstance(document.data, dict) else {}
    cameras = data.get("cameras")
    return len(cameras) if isinstance(cameras, list) else 0


def _validated(
    document: Document, files: bool, checks: semantics.Checks | None = None
) -> tuple[Scenario | None, list[Problem]]:
    """The scenario and its problems, one for each place at most: the first that was found."""
    scenario, candidates = None, []
    try:
        scenario = Scenario.model_validate(document.data)
    except ValidationError as error:
        candidates = wording.problems_of(error, document)
    draft = semantics.Draft.of(document.data)
    found = list(semantics.findings(draft, files=files))
    if checks is not None:
        found += checks.findings(draft, files=files)
    written = ((_as_written(document, path), message) for path, message in found)
    candidates += [Problem(document.place(path), path_text(path), message) for path, message in written]
    known = {(problem.place, problem.path) for problem in document.problems}
    problems = []
    for problem in candidates:
        if (problem.place, problem.path) not in known:
            known.add((problem.place, problem.path))
            problems.append(problem)
    return scenario, problems


def _as_written(document: Document, path: Path) -> Path:
    """The path of a fault's link by the name that the file gives it."""
    link: Path = (*path[:-1], "link")
    return link if path[-1:] == ("on",) and path not in document.values and link in document.values else path


def _warnings(document: Document, scenario: Scenario, checks: semantics.Checks | None) -> list[Problem]:
    found = list(cautions.cautions(scenario))
    if checks is not None:
        found += checks.cautions(scenario)
    return _in_order(
        Problem(document.place(path), path_text(path), message, "warning") for path, message in found
    )


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(set(problems))
