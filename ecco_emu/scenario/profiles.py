"""Finds shipped data: scenarios, students, traces of links, sampling tables.

``profiles/`` and ``scenarios/`` lie at the top of a checkout, and inside the package where it was installed
from a wheel (setup.py). Scenarios are scenarios/NAME.yaml, where NAME may have a folder: faults/uplink-flap.
Students are profiles/students/NAME.safetensors, with NAME.json beside it, which says how it was made. Traces
are profiles/links/NAME.mahimahi or NAME.csv, sampling tables profiles/tables/NAME.yaml, fits of the trainer
``curve`` profiles/curve/NAME.yaml.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ecco_emu.control.sampling import SamplingTable, TableError, parse_table
from ecco_emu.core.errors import ScenarioError
from ecco_emu.scenario.document import parse
from ecco_emu.scenario.problems import did_you_mean
from ecco_emu.scenario.text import read_text

ENVIRONMENT = "ECCO_EMU_PROFILES"
SUFFIX = ".safetensors"
TRACE_SUFFIXES = (".mahimahi", ".csv")
YAML_SUFFIX = ".yaml"


def shipped_dir(name: str) -> Path:
    """A folder of shipped data: the installed package's, else the checkout's."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / name
    return packaged if packaged.is_dir() else package.parent / name


def profiles_dir() -> Path:
    """``$ECCO_EMU_PROFILES`` if set, else the shipped profiles."""
    chosen = os.environ.get(ENVIRONMENT)
    return Path(chosen) if chosen else shipped_dir("profiles")


def scenarios() -> list[str]:
    """The names of the shipped scenarios."""
    folder = shipped_dir("scenarios")
    return sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob(f"*{YAML_SUFFIX}"))


def scenario_path(name_or_path: str | os.PathLike[str]) -> Path:
    """The shipped scenario of that name, unless there is a file at that path. Checks nothing else."""
    given = Path(name_or_path)
    if str(given) in scenarios() and not os.path.exists(given):
        return shipped_dir("scenarios") / f"{given}{YAML_SUFFIX}"
    return given


@dataclass(frozen=True, slots=True)
class _Shipped:
    """One kind of shipped file: its folder in profiles/, its suffixes, and the words of its errors."""

    what: str
    folder_name: str
    suffixes: tuple[str, ...]
    way_out: str
    """After a name that is unknown."""
    path_what: str
    path_way_out: str = ""
    """After a path at which there is no file."""

    @property
    def folder(self) -> Path:
        return profiles_dir() / self.folder_name

    def names(self) -> list[str]:
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(path.stem for path in found if path.suffix in self.suffixes)

    def is_path(self, name: str) -> bool:
        return os.sep in name or name.endswith(self.suffixes)

    def find(self, name_or_path: str) -> Path:
        """The file of that name or path. Raises ``ScenarioError`` that lists the known names."""
        if self.is_path(name_or_path):
            path = Path(name_or_path)
            if path.is_file():
                return path
            raise ScenarioError(f"no {self.path_what} at {name_or_path!r}{self.path_way_out}")
        for suffix in self.suffixes:
            path = self.folder / f"{name_or_path}{suffix}"
            if name_or_path and path.is_file():
                return path
        known = self.names()
        listing = f"there are: {', '.join(known)}" if known else f"there are none in {self.folder}"
        hint = did_you_mean(name_or_path, known)
        raise ScenarioError(f"no {self.what} {name_or_path!r}{hint or '; ' + listing}; {self.way_out}")


_STUDENTS = _Shipped(
    "student",
    "students",
    (SUFFIX,),
    "ecco-emu pretrain makes one",
    "student's weights",
    "; ecco-emu pretrain makes some",
)
_TRACES = _Shipped("trace", "links", TRACE_SUFFIXES, "or give a path", "trace")
_TABLES = _Shipped("sampling table", "tables", (YAML_SUFFIX,), "or give a path", "sampling table")
_CURVES = _Shipped("curve fit", "curve", (YAML_SUFFIX,), "ecco-emu bench curve makes one", "curve fit")


def students_dir() -> Path:
    return _STUDENTS.folder


def students() -> list[str]:
    """The names of the students in profiles/students/."""
    return _STUDENTS.names()


def looks_like_path(name: str) -> bool:
    """Whether this is no student's name but the path of one, or of a fit of one."""
    return _STUDENTS.is_path(name) or _CURVES.is_path(name)


def student_path(name_or_path: str) -> Path:
    """The file of a student's weights, by its name in profiles/students/ or by its path.

    Raises ``ScenarioError`` that lists the known students and says how to make one.
    """
    return _STUDENTS.find(name_or_path)


def traces() -> list[str]:
    """The names of the traces in profiles/links/."""
    return _TRACES.names()


def looks_like_trace_path(name: str) -> bool:
    return _TRACES.is_path(name)


def trace_path(name_or_path: str) -> Path:
    """The file of a trace, by its name in profiles/links/ or by its path.

    Raises ``ScenarioError`` that lists the known traces.
    """
    return _TRACES.find(name_or_path)


def tables() -> list[str]:
    """The names of the sampling tables in profiles/tables/."""
    return _TABLES.names()


def looks_like_table_path(name: str) -> bool:
    return _TABLES.is_path(name)


def table_path(name_or_path: str) -> Path:
    """The file of a sampling table, by its name in profiles/tables/ or by its path.

    Raises ``ScenarioError`` that lists the known tables.
    """
    return _TABLES.find(name_or_path)


def curves() -> list[str]:
    """The names of the fits in profiles/curve/."""
    return _CURVES.names()


def curve_path(name_or_path: str) -> Path:
    """The file of a fit of the trainer ``curve``, by its name in profiles/curve/ or by its path.

    Raises ``ScenarioError`` that lists the known fits.
    """
    return _CURVES.find(name_or_path)


def sampling_table(name_or_path: str) -> SamplingTable:
    """The sampling table of that name or path.

    Raises ``ScenarioError``; what is wrong in the file is named with the file's path, line and column.
    """
    path = table_path(name_or_path)
    text, problem = read_text(path)
    if problem is not None:
        raise ScenarioError(str(problem))
    document = parse(text, str(path))
    if document.problems:
        raise ScenarioError("\n".join(map(str, document.problems)))
    if not isinstance(document.data, dict):
        raise ScenarioError(f"{path}: a sampling table is a mapping of version and levels")
    try:
        return parse_table(document.data)
    except TableError as error:
        raise ScenarioError(f"{document.place(error.path)}: {error}") from error
