"""Runs that are live: how others find one, enter its nodes, and find the leftovers of a dead one.

A run writes ``live.json`` into its directory when its network is up and removes it at its end. A run that was
killed leaves the file; its namespaces went with its process. Processes are told apart by their start too,
since their numbers are used again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import msgspec

import netns
from ecco_emu.core.errors import HostError, ScenarioError
from ecco_emu.record.rundir import write_atomically

FILE = "live.json"
SOCKET = "control.sock"
"""Where a live run takes faults from outside (``remote``)."""
STUDENTS = ".measuring"
"""A folder: students that a live run keeps until it has measured them (``measuring``)."""


class LiveNode(msgspec.Struct, frozen=True):
    """A node: its address, and the path by which its namespace can be entered."""

    address: str
    namespace: str


class LiveRun(msgspec.Struct, frozen=True):
    """The content of ``live.json``. ``started`` is the process's start in clock ticks since the host's."""

    pid: int
    started: int
    name: str
    nodes: dict[str, LiveNode]

    @property
    def alive(self) -> bool:
        return _started(self.pid) == self.started


@contextmanager
def announced(directory: Path, name: str, lab: netns.Lab) -> Iterator[None]:
    """The run in ``directory`` can be found by others for the time of the block."""
    nodes = {link.name: LiveNode(link.address, lab.namespace_path(link.name)) for link in lab.plan.links}
    started = _started(os.getpid())
    assert started is not None
    path = directory / FILE
    write_atomically(path, msgspec.json.encode(LiveRun(os.getpid(), started, name, nodes)))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def under(base: Path) -> list[tuple[Path, LiveRun]]:
    """Directories under ``base`` that hold a ``live.json``, with its content. The run may be dead all the
    same."""
    found = []
    for path in sorted(base.glob(f"*/{FILE}")):
        with suppress(OSError, msgspec.DecodeError):  # it ended meanwhile, or is not ours
            found.append((path.parent, msgspec.json.decode(path.read_bytes(), type=LiveRun)))
    return found


def find(directory: Path) -> LiveRun:
    """The live run in a directory. Raises ``ScenarioError`` if there is none."""
    try:
        run = msgspec.json.decode((directory / FILE).read_bytes(), type=LiveRun)
    except FileNotFoundError:
        raise ScenarioError(f"{directory} is no live run; `ecco-emu ps` lists those") from None
    except (OSError, msgspec.DecodeError) as error:
        raise ScenarioError(f"{directory / FILE} cannot be read: {error}") from error
    if not run.alive:
        raise ScenarioError(f"the run in {directory} is dead (process {run.pid} is gone)")
    return run


def execute(directory: Path, node: str, command: Sequence[str]) -> NoReturn:
    """Becomes ``command`` in a node's namespace of a live run. Raises ``ScenarioError``, ``HostError``."""
    run = find(directory)
    if node not in run.nodes:
        raise ScenarioError(f"no node {node!r} in this run; there are {', '.join(sorted(run.nodes))}")
    try:
        netns.enter(run.nodes[node].namespace)
        os.execvp(command[0], list(command))
    except netns.LabError as error:
        raise HostError(str(error)) from error
    except OSError as error:
        raise ScenarioError(f"cannot run {command[0]}: {error.strerror}") from error


def clean(base: Path, *, dry_run: bool) -> list[Path]:
    """Removes the leftovers of dead runs under ``base`` and returns them; with ``dry_run`` only returns
    them."""
    dead = [directory for directory, run in under(base) if not run.alive]
    names = (SOCKET, STUDENTS, FILE)  # the file last: while it is there, the rest is found again
    left = [directory / name for directory in dead for name in names if (directory / name).exists()]
    if not dry_run:
        for path in left:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    return left


def _started(pid: int) -> int | None:
    try:
        # after the name in parentheses: state is the third field, the start the 22nd
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])
