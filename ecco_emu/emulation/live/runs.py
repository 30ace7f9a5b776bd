"""Runs that are live: how others find one, enter its nodes, and find the leftovers of a dead one.

A run writes ``live.json`` into its directory when it begins, and removes it at its end. For all that time it
holds a lock on the file, which the kernel lets go when the process ends, however that was. So the lock says
whether the run lives; its process id would not, since numbers are used again, and are others in a container.
The namespaces of a run that was killed went with its process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NoReturn

import msgspec

import netns
from ecco_emu.core.errors import HostError, ScenarioError
from ecco_emu.emulation.lab_errors import lab_errors

FILE = "live.json"
SOCKET = "control.sock"
"""Where a live run takes faults from outside (``remote``)."""
STUDENTS = ".measuring"
"""A folder: students that a live run keeps until it has measured them (``measuring``)."""
_TAIL_BYTES = 1 << 16
"""The end of a run's log in which its newest event is looked for; no line is as long."""

Liveness = Literal["live", "dead", "unknown"]
"""It is unknown on a file system that keeps no locks."""


class LiveNode(msgspec.Struct, frozen=True):
    """A node: its address, and the path by which its namespace can be entered, which has this inode."""

    address: str
    namespace: str
    inode: int


class LiveRun(msgspec.Struct, frozen=True):
    """The content of ``live.json``. ``pid`` is the number that the run's process has for itself.
    ``duration_s`` are emulated seconds. There are no nodes until the network is up."""

    pid: int
    name: str
    policy: str
    duration_s: float
    nodes: dict[str, LiveNode] = {}


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A directory with a ``live.json``, its content, and whether the run lives."""

    directory: Path
    run: LiveRun
    liveness: Liveness


class Announcement:
    """A run's ``live.json``, as the run itself keeps it."""

    def __init__(self, directory: Path, run: LiveRun) -> None:
        self._path = directory / FILE
        self._run = run
        self._file: BinaryIO | None = None
        self._publish()

    def has_network(self, lab: netns.Lab) -> None:
        """From now on the nodes of ``lab`` can be entered."""
        nodes = {}
        for link in lab.plan.links:
            path = lab.namespace_path(link.name)
            nodes[link.name] = LiveNode(link.address, path, os.stat(path).st_ino)
        self._run = msgspec.structs.replace(self._run, nodes=nodes)
        self._publish()

    def withdraw(self) -> None:
        """Removes the file."""
        self._path.unlink(missing_ok=True)
        if self._file is not None:
            self._file.close()

    def _publish(self) -> None:
        """Writes the file anew. It is locked before it has its name, so nobody sees it without its lock."""
        before = self._file
        temporary = self._path.with_name(f".{FILE}.tmp")
        try:
            self._file = temporary.open("wb")
            self._file.write(msgspec.json.encode(self._run))
            self._file.flush()
            with suppress(OSError):  # without locks here it is not known whether the run lives
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary.replace(self._path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise HostError(f"cannot write {self._path}: {error.strerror}") from error
        if before is not None:
            before.close()


@contextmanager
def announced(directory: Path, *, name: str, policy: str, duration_s: float) -> Iterator[Announcement]:
    """The run in ``directory`` can be found by others for the time of the block."""
    announcement = Announcement(directory, LiveRun(os.getpid(), name, policy, duration_s))
    try:
        yield announcement
    finally:
        announcement.withdraw()


def under(base: Path) -> list[FoundRun]:
    """All directories under ``base`` that hold a ``live.json``."""
    found = []
    for path in sorted(base.glob(f"*/{FILE}")):
        with suppress(OSError, msgspec.DecodeError):  # it ended meanwhile, or is not ours
            found.append(_read(path.parent))
    return found


def find(directory: Path) -> LiveRun:
    """The live run in a directory. Raises ``ScenarioError`` if there is none."""
    try:
        found = _read(directory)
    except (FileNotFoundError, NotADirectoryError):
        raise ScenarioError(f"{directory} is no live run; `ecco-emu ps` lists those") from None
    except (OSError, msgspec.DecodeError) as error:
        raise ScenarioError(f"{directory / FILE} cannot be read: {error}") from error
    if found.liveness == "dead":
        raise ScenarioError(f"the run in {directory} is dead; `ecco-emu clean` removes its leftovers")
    return found.run


def _read(directory: Path) -> FoundRun:
    with (directory / FILE).open("rb") as file:
        run = msgspec.json.decode(file.read(), type=LiveRun)
        return FoundRun(directory, run, _liveness(file))


def _liveness(file: BinaryIO) -> Liveness:
    try:
        # Shared, so that two who look at the same time do not take each other for the run.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return "live"
    except OSError:
        return "unknown"
    return "dead"


def reached_s(directory: Path) -> float | None:
    """The emulated time of the newest event of the run in ``directory``; None before the first one."""
    try:
        with (directory / "events.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().splitlines(keepends=True)
    except OSError:
        return None
    for line in reversed(lines):
        with suppress(msgspec.MsgspecError):  # the last line may be half written, the first one cut
            return msgspec.json.decode(line, type=_Moment).t
    return None


class _Moment(msgspec.Struct):
    t: float


def execute(
    directory: Path, node: str, command: Sequence[str], *, warn: Callable[[str], None] = lambda _: None
) -> NoReturn:
    """Becomes ``command`` in a node's namespace of a live run; ``warn`` is told what of the host it will see.

    Raises ``ScenarioError``, ``HostError``.
    """
    run = find(directory)
    if not run.nodes:
        raise ScenarioError(f"the run in {directory} begins: its network is not up yet")
    if node not in run.nodes:
        raise ScenarioError(f"no node {node!r} in this run; there are {', '.join(sorted(run.nodes))}")
    hosts = {name: one.address for name, one in run.nodes.items()}
    there = run.nodes[node]
    with lab_errors(f"cannot enter {node}"):
        for lack in netns.enter(there.namespace, inode=there.inode, hosts=hosts):
            warn(lack)
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        raise ScenarioError(f"cannot run {command[0]}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Cleaned:
    """``removed`` are files and folders of dead runs; of the runs in ``unknown`` it cannot be told."""

    removed: list[Path]
    unknown: list[Path]


def clean(base: Path, *, dry_run: bool) -> Cleaned:
    """Removes the leftovers of dead runs under ``base``; with ``dry_run`` it only says which."""
    found = under(base)
    names = (SOCKET, STUDENTS, FILE)  # the file last: while it is there, the rest is found again
    dead = [one.directory for one in found if one.liveness == "dead"]
    left = [directory / name for directory in dead for name in names if (directory / name).exists()]
    if not dry_run:
        for path in left:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    return Cleaned(left, [one.directory for one in found if one.liveness == "unknown"])
