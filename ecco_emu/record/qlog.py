"""The run directory's qlog/: one .sqlog per connection and side, bounded, written off the event loop."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

from ecco_emu.transport.qlog import QlogTrace

TRACE_BYTES = 32 * 1024 * 1024
"""Most that one trace may take: 70 000 packets and their acknowledgements."""
FOLDER_BYTES = 512 * 1024 * 1024
"""Most that all traces of a run may take together."""
_BATCH_BYTES = 64 * 1024
_QUEUED_BATCHES = 256


class QlogFolder:
    """Makes traces and writes them from a thread of its own, so that a slow disk holds up nothing.

    What finds the thread 16 MiB behind, the folder full or the disk broken is left out and counted.
    ``close`` writes what is left; a process that dies leaves every trace readable but for its last 64 KiB.
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
        """Traces and batches of records that were not written."""
        self._thread = threading.Thread(target=self._work, name="qlog", daemon=True)
        self._thread.start()

    def trace(self, name: str, side: Literal["client", "server"]) -> QlogTrace | None:
        """A new connection's trace, in a new file; None where there can be none."""
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
        """Writes what is left and closes every file. Idempotent."""
        for buffered in self._files:
            buffered.flush()
        if self._thread.is_alive():
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
            except OSError:  # a full disk ends the trace, not the run
                self.left_out += 1


class _BufferedFile:
    """Collects a trace's records into batches worth a write."""

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
