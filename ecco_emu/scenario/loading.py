"""Loads a file as a ``Scenario``, or finds every problem in it, each with its line and column."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from ecco_emu.scenario import profiles, semantics, wording
from ecco_emu.scenario.document import MAX_BYTES, Document, parse
from ecco_emu.scenario.overrides import apply_option, apply_sets
from ecco_emu.scenario.problems import InvalidScenario, Path, Place, Problem, did_you_mean, path_text
from ecco_emu.scenario.schema import Scenario


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
    *,
    files: bool = True,
    trace_check: semantics.TraceCheck | None = None,
) -> LoadedScenario:
    """Reads, changes and checks a scenario: a file, or a shipped one by its name (``profiles.scenarios``).

    ``overrides`` are texts ``dotted.path=value``, as for ``--set``. ``seed``, ``dilation`` and ``policy`` are
    applied after them and win. With ``files=False`` the files of weights, traces and tables need not be
    there, for commands that do not use them. ``trace_check`` checks the content of traces. Relative paths
    start at the scenario's folder or, in ``overrides``, at the current one; all paths come out absolute.

    Raises ``InvalidScenario`` with every problem there is.
    """
    file = profiles.scenario_path(path)
    text, problem = _read(file)
    if problem is not None:
        raise InvalidScenario([problem])
    document = parse(text, str(file))
    problems = list(document.problems)
    # a file that is no YAML at all has nothing to check: its syntax error stands alone
    if document.data is not None or not problems:
        options = {
            "seed": ("seed", seed),
            "dilation": ("clock.dilation", dilation),
            "policy": ("policy.name", policy),
        }
        problems += apply_sets(document, overrides)
        for name, (key, value) in options.items():
            if value is not None:
                problems += apply_option(document, key, str(value), f"--{name} {value}")
        _absolute_paths(document, file.parent)
        scenario, found = _validated(document, files, trace_check)
        problems += found
        if scenario is not None and not problems:
            return LoadedScenario(scenario, file, tuple(_warnings(document)))
    raise InvalidScenario(_in_order(problems))


def check(
    paths: Iterable[str | os.PathLike[str]],
    *,
    files: bool = True,
    trace_check: semantics.TraceCheck | None = None,
) -> list[Problem]:
    """Every problem in these files; empty when all of them can run."""
    found = examine(paths, files=files, trace_check=trace_check)
    return [problem for problem in found if problem.severity == "error"]


def examine(
    paths: Iterable[str | os.PathLike[str]],
    *,
    files: bool = True,
    trace_check: semantics.TraceCheck | None = None,
) -> list[Problem]:
    """Every problem in these files, and the warnings of those that can run."""
    problems: list[Problem] = []
    for path in paths:
        try:
            problems += load(path, files=files, trace_check=trace_check).warnings
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


def _read(file: FilePath) -> tuple[str, Problem | None]:
    place = Place(str(file))
    if file.is_dir():
        return "", Problem(place, "", "is a directory; name a scenario file in it")
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)  # never all of a device that has no end
    except FileNotFoundError:
        hint = did_you_mean(str(file.with_suffix("")), profiles.scenarios())
        return "", Problem(place, "", f"there is no such file{hint}")
    except OSError as error:
        return "", Problem(place, "", f"cannot be read: {error.strerror or error}")
    except ValueError:  # a NUL in the name
        return "", Problem(Place(ascii(str(file))), "", "is no name of a file")
    if len(raw) > MAX_BYTES:
        return "", Problem(place, "", "is larger than 1 MB; a scenario is a few kilobytes")
    try:
        return raw.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        return "", Problem(Place(str(file), line, column), "", "is not UTF-8 text here")


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
    document: Document, files: bool, trace_check: semantics.TraceCheck | None = None
) -> tuple[Scenario | None, list[Problem]]:
    """The scenario and its problems, one for each place at most: the first that was found."""
    scenario, candidates = None, []
    try:
        scenario = Scenario.model_validate(document.data)
    except ValidationError as error:
        candidates = wording.problems_of(error, document)
    for path, message in semantics.findings(
        semantics.Draft.of(document.data), files=files, trace_check=trace_check
    ):
        candidates.append(Problem(document.place(path), path_text(path), message))
    known = {(problem.place, problem.path) for problem in document.problems}
    problems = []
    for problem in candidates:
        if (problem.place, problem.path) not in known:
            known.add((problem.place, problem.path))
            problems.append(problem)
    return scenario, problems


def _warnings(document: Document) -> list[Problem]:
    return _in_order(
        Problem(document.place(path), path_text(path), message, "warning")
        for path, message in semantics.cautions(semantics.Draft.of(document.data))
    )


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(set(problems))
