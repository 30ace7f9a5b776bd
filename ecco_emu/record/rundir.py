"""A run's directory: the names of its files, and writes that never show a reader half a file."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import msgspec

from ecco_emu.core.errors import HostError, ScenarioError
from ecco_emu.core.events import AnyEvent
from ecco_emu.record import log

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """``runs/<utc>-<name>/`` (docs/reference/report.md says what is in it).

    Every file appears whole or not at all, except events.jsonl, which grows by lines. The folders are made
    when they are first asked for.
    """

    path: Path

    @classmethod
    def create(cls, base: Path, name: str, now_utc: datetime) -> Self:
        """Makes a new, empty run directory under ``base``, which is made too if it is missing.

        Runs of one name that begin in one second are numbered. ``now_utc`` must have a time zone. Raises
        ``ScenarioError`` for a name that cannot be a folder's, ``HostError`` where nothing can be written.
        """
        if not _NAME.fullmatch(name):
            raise ScenarioError(f"{name!r} cannot name a run: use letters, digits, '-' and '_' (64 at most)")
        if now_utc.tzinfo is None:
            raise ValueError("now_utc needs a time zone")
        first = base / f"{now_utc.astimezone(UTC):%Y%m%dT%H%M%SZ}-{name}"
        try:
            base.mkdir(parents=True, exist_ok=True)
            return cls(_make_new(first))
        except FileExistsError as error:
            raise ScenarioError(f"{base} exists and is no folder; give another with --out") from error
        except OSError as error:
            raise HostError(f"cannot make {first}: {error.strerror}; choose another with --out") from error

    @classmethod
    def open(cls, path: Path) -> Self:
        """The directory of a run that goes on or is over. Raises ``ScenarioError`` for any other path."""
        if not path.is_dir():
            raise ScenarioError(f"{path} is not a directory" if path.exists() else f"{path} does not exist")
        run = cls(path)
        if not (run.events_path.is_file() or run.manifest_path.is_file()):
            raise ScenarioError(
                f"{path} is not a run directory: it has neither events.jsonl nor manifest.json"
            )
        return run

    @property
    def manifest_path(self) -> Path:
        return self.path / "manifest.json"

    @property
    def scenario_path(self) -> Path:
        return self.path / "scenario.yaml"

    @property
    def events_path(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def host_path(self) -> Path:
        """Only a simulated run has it (``host_log``)."""
        return self.path / "host.jsonl"

    @property
    def summary_path(self) -> Path:
        return self.path / "summary.json"

    @property
    def report_path(self) -> Path:
        return self.path / "report.html"

    @property
    def models(self) -> Path:
        """The folder of students (safetensors); made when first asked for."""
        return self._folder("models")

    @property
    def qlog(self) -> Path:
        """The folder of transport traces; made when first asked for."""
        return self._folder("qlog")

    @property
    def pcap(self) -> Path:
        """The folder of captured packets; made when first asked for."""
        return self._folder("pcap")

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        write_atomically(self.manifest_path, _json(manifest))

    def write_scenario(self, text: str) -> None:
        write_atomically(self.scenario_path, text.encode())

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_atomically(self.summary_path, _json(summary))

    def write_report(self, html: str) -> None:
        write_atomically(self.report_path, html.encode())

    def manifest(self) -> dict[str, Any]:
        """The manifest; empty when the run died before it was written."""
        return _load(self.manifest_path)

    def summary(self) -> dict[str, Any]:
        """The summary; empty while the run goes on."""
        return _load(self.summary_path)

    def events(self) -> Iterator[tuple[AnyEvent, float]]:
        """``(event, wall)`` of the events so far; none when the run died before its first event."""
        return log.read(self.events_path) if self.events_path.is_file() else iter(())

    def _folder(self, name: str) -> Path:
        folder = self.path / name
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise HostError(f"cannot make {folder}: {error.strerror}") from error
        return folder


def _make_new(first: Path) -> Path:
    """A new folder of this name or, where it is taken, of the first number that is free."""
    for number in itertools.count(1):
        path = first if number == 1 else first.with_name(f"{first.name}-{number}")
        with suppress(FileExistsError):
            path.mkdir()  # fails if it exists: two runs of one second never share a directory
            return path
    raise AssertionError("numbers do not end")


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file beside ``path`` and renames it to ``path``: a reader sees the old file or the new one.

    Raises ``HostError`` when it cannot be written; then the old file stays.
    """
    # the process id: a run and ``ecco-emu report`` may write one report at the same time
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # before the rename, or a host that crashes may leave an empty file
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise HostError(f"cannot write {path}: {error.strerror}") from error


def write_where_told(path: Path, data: bytes) -> None:
    """Writes to a path that a person gave: through links, and into a device or a pipe as it is.

    Only a regular file is replaced whole: a new one renamed over a device would take it from everybody.
    Raises ``ScenarioError`` for a path that cannot be a file, ``HostError`` when it cannot be written.
    """
    try:
        target = path.resolve()
        if target.is_dir():
            raise ScenarioError(f"cannot write {path}: it is a folder")
        if not target.parent.is_dir():
            raise ScenarioError(f"cannot write {path}: there is no folder {target.parent}")
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise HostError(f"cannot write {path}: {getattr(error, 'strerror', error)}") from error
    write_atomically(target, data)


def _json(value: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
        raise ScenarioError(f"{path}: {error}") from error
