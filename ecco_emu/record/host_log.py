"""host.jsonl: what only the host knows of a simulated run, such as wall times and memory.

A simulated run's events are the same in every run of its scenario and seed, byte for byte but for ``wall``.
So whatever differs from run to run goes to this file. Each line is a JSON object with ``wall`` (seconds since
the log was opened), ``t`` (emulated seconds) and the fields of what is noted.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import msgspec

from ecco_emu.core.errors import HostError


class HostLog:
    """Appends lines to a new file, from any thread. Raises ``HostError`` when it cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._origin_wall = time.monotonic()
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise HostError(f"cannot write {path}: {error.strerror}") from error

    def note(self, t: float, **fields: str | float) -> None:
        wall_s = round(time.monotonic() - self._origin_wall, 6)
        line = msgspec.json.encode({"wall": wall_s, "t": t, **fields}) + b"\n"
        with self._lock:
            try:
                self._file.write(line)
            except OSError as error:
                raise HostError(f"cannot write {self._path}: {error.strerror}") from error

    def close(self) -> None:
        self._file.close()
