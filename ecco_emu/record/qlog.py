"""The run directory's qlog/: one .sqlog file per connection and side.

Their sizes are bounded, and a thread of their own writes them, so that the event loop never waits for a disk.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

from ecco_emu.transport.qlog import QlogTrace

TRACE_BYTES = 32 * 1024 * 1024
"""The largest size of one trace: about 70 000 packets with their acknowledgements."""
FOLDER_BYTES = 512 * 1024 * 1024
"""The largest size of all traces of a run together."""
_BATCH_BYTES = 64 * 1024
_QUEUED_BATCHES = 256
"""At 64 KiB each, the thread may be 16 MiB behind."""


class QlogFolder:
    """Makes the traces of a run and writes them from a thread of its own.

    A batch of records is left out and counted when the thread is 16 MiB behind, when the folder has reached
    ``folder_bytes`` or when the disk fails. ``close`` writes the records that are still in memory. A process
    that dies leaves every trace readable, without the last 64 KiB of it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        trace_bytes: int = TRACE_BYTES,
        folder_bytes: int = FOLDER_BYTES,
    ) -> None:
        self._folder = folder
        self._trace_bytes = trace_bytes
        self._left_bytes = folder_bytes
        self._counts: dict[str, int] = {}
        self._files: list[_BufferedFile] = []
        self._queue: queue.Queue[tuple[BinaryIO, bytes] | None] = queue.Queue(_QUEUED_BATCHES)
        self.left_out = 0
        """How many traces and batches of records were not written."""
        self._thread = threading.Thread(target=self._work, name="qlog", daemon=True)
        self._thread.start()

    def trace(self, name: str, side: Literal["client", "server"]) -> QlogTrace | None:
        """A new connection's trace, in a new file; None where the file cannot be made."""
        label = f"{name}-{side}"
        count = self._counts[label] = self._counts.get(label, 0) + 1
        path = self._folder / f"{label}-{count}.sqlog"
        try:
            file = path.open("xb", buffering=0)
        except OSError:
            self.left_out += 1
            return None
        buffered = _BufferedFile(self._put, file)
        self._files.append(buffered)
        return QlogTrace(
            buffered.write,
            title=f"{name}, {side}, connection {count}",
            side=side,
            limit_bytes=self._trace_bytes,
        )

    def close(self) -> None:
        """Writes the records that are still in memory and closes every file. Idempotent."""
        for buffered in self._files:
            buffered.flush()
        if self._thread.is_alive():
            # may block: at the end, unlike during the run, there is time for a slow disk
            self._queue.put(None)
            self._thread.join()
        for buffered in self._files:
            buffered.file.close()
        self._files.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _put(self, file: BinaryIO, batch: bytes) -> None:
        if len(batch) > self._left_bytes:
            # nothing more from now on: a smaller batch that still fits would come after a hole in its trace
            self._left_bytes = 0
            self.left_out += 1
            return
        try:
            self._queue.put_nowait((file, batch))
        except queue.Full:
            self.left_out += 1
        else:
            self._left_bytes -= len(batch)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            file, batch = item
            try:
                file.write(batch)
            except OSError:  # a full disk costs the trace, not the run
                self.left_out += 1


class _BufferedFile:
    """Collects a trace's records into batches of at least 64 KiB, so that there are few writes."""

    def __init__(self, put: Callable[[BinaryIO, bytes], None], file: BinaryIO) -> None:
        self.file = file
        self._put = put
        self._batch = bytearray()

    def write(self, record: bytes) -> None:
        self._batch += record
        if len(self._batch) >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._batch:
            self._put(self.file, bytes(self._batch))
            self._batch.clear()
