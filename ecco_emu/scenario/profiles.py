"""Finds shipped data: students, traces of links, sampling tables.

Students are profiles/students/NAME.safetensors, with NAME.json beside it, which says how it was made. Traces
are profiles/links/NAME.mahimahi or NAME.csv, sampling tables profiles/tables/NAME.yaml.
"""

from __future__ import annotations

import os
from pathlib import Path

from ecco_emu.control.sampling import SamplingTable, TableError, parse_table
from ecco_emu.core.errors import ScenarioError
from ecco_emu.scenario.document import parse
from ecco_emu.scenario.problems import did_you_mean

ENVIRONMENT = "ECCO_EMU_PROFILES"
SUFFIX = ".safetensors"
TRACE_SUFFIXES = (".mahimahi", ".csv")
TABLE_SUFFIX = ".yaml"


def profiles_dir() -> Path:
    """``$ECCO_EMU_PROFILES`` if set, else the installed package's profiles, else the checkout's."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen)
    package = Path(__file__).resolve().parents[1]
    packaged = package / "profiles"
    return packaged if packaged.is_dir() else package.parent / "profiles"


def students_dir() -> Path:
    return profiles_dir() / "students"


def students() -> list[str]:
    """The names of the students in profiles/students/."""
    folder = students_dir()
    return sorted(path.stem for path in folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []


def looks_like_path(name: str) -> bool:
    return os.sep in name or name.endswith(SUFFIX)


def student_path(name_or_path: str) -> Path:
    """The file of a student's weights, by its name in profiles/students/ or by its path.

    Raises ``ScenarioError`` that lists the known students and says how to make one.
    """
    if looks_like_path(name_or_path):
        path = Path(name_or_path)
        if path.is_file():
            return path
        raise ScenarioError(f"no student's weights at {name_or_path!r}; ecco-emu pretrain makes some")
    path = students_dir() / f"{name_or_path}{SUFFIX}"
    if path.is_file():
        return path
    known = students()
    listing = f"there are: {', '.join(known)}" if known else f"there are none in {students_dir()}"
    hint = did_you_mean(name_or_path, known)
    raise ScenarioError(f"no student {name_or_path!r}{hint or '; ' + listing}; ecco-emu pretrain makes one")


def links_dir() -> Path:
    return profiles_dir() / "links"


def traces() -> list[str]:
    """The names of the traces in profiles/links/."""
    folder = links_dir()
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.stem for path in found if path.suffix in TRACE_SUFFIXES)


def looks_like_trace_path(name: str) -> bool:
    return os.sep in name or name.endswith(TRACE_SUFFIXES)


def trace_path(name_or_path: str) -> Path:
    """The file of a trace, by its name in profiles/links/ or by its path.

    Raises ``ScenarioError`` that lists the known traces.
    """
    if looks_like_trace_path(name_or_path):
        path = Path(name_or_path)
        if path.is_file():
            return path
        raise ScenarioError(f"no trace at {name_or_path!r}")
    for suffix in TRACE_SUFFIXES:
        path = links_dir() / f"{name_or_path}{suffix}"
        if name_or_path and path.is_file():
            return path
    known = traces()
    listing = f"there are: {', '.join(known)}" if known else f"there are none in {links_dir()}"
    hint = did_you_mean(name_or_path, known)
    raise ScenarioError(f"no trace {name_or_path!r}{hint or '; ' + listing}; or give a path")


def tables_dir() -> Path:
    return profiles_dir() / "tables"


def tables() -> list[str]:
    """The names of the sampling tables in profiles/tables/."""
    folder = tables_dir()
    return sorted(path.stem for path in folder.glob(f"*{TABLE_SUFFIX}")) if folder.is_dir() else []


def looks_like_table_path(name: str) -> bool:
    return os.sep in name or name.endswith(TABLE_SUFFIX)


def table_path(name_or_path: str) -> Path:
    """The file of a sampling table, by its name in profiles/tables/ or by its path.

    Raises ``ScenarioError`` that lists the known tables.
    """
    if looks_like_table_path(name_or_path):
        path = Path(name_or_path)
        if path.is_file():
            return path
        raise ScenarioError(f"no sampling table at {name_or_path!r}")
    path = tables_dir() / f"{name_or_path}{TABLE_SUFFIX}"
    if name_or_path and path.is_file():
        return path
    known = tables()
    listing = f"there are: {', '.join(known)}" if known else f"there are none in {tables_dir()}"
    hint = did_you_mean(name_or_path, known)
    raise ScenarioError(f"no sampling table {name_or_path!r}{hint or '; ' + listing}; or give a path")


def sampling_table(name_or_path: str) -> SamplingTable:
    """The sampling table of that name or path.

    Raises ``ScenarioError``; what is wrong in the file is named with the file's path, line and column.
    """
    path = table_path(name_or_path)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error
    document = parse(text, str(path))
    if document.problems:
        raise ScenarioError("\n".join(map(str, document.problems)))
    if not isinstance(document.data, dict):
        raise ScenarioError(f"{path}: a sampling table is a mapping of version and levels")
    try:
        return parse_table(document.data)
    except TableError as error:
        raise ScenarioError(f"{document.place(error.path)}: {error}") from error
