"""The run directory's qlog/: one .sqlog.gz file per connection and side.

Their sizes are bounded, and a thread of their own compresses and writes them, so that the event loop never
waits for a disk. Compressed they take a tenth of the room: traces are the same few words over and over.
"""

from __future__ import annotations

import queue
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

from ecco_emu.transport.qlog import QlogTrace

TRACE_BYTES = 32 * 1024 * 1024
"""The largest size of one trace: about 70 000 packets with their acknowledgements."""
FOLDER_BYTES = 512 * 1024 * 1024
"""The largest size of all traces of a run together, before they are compressed."""
_GZIP = 31
"""zlib's ``wbits`` for the largest window in gzip's format."""
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
        self._files: list[_TraceFile] = []
        self._queue: queue.Queue[tuple[_TraceFile, bytes] | None] = queue.Queue(_QUEUED_BATCHES)
        self.left_out = 0
        """How many traces and batches of records were not written."""
        self._thread = threading.Thread(target=self._work, name="qlog", daemon=True)
        self._thread.start()

    def trace(self, name: str, side: Literal["client", "server"]) -> QlogTrace | None:
        """A new connection's trace, in a new file; None where the file cannot be made."""
        label = f"{name}-{side}"
        count = self._counts[label] = self._counts.get(label, 0) + 1
        path = self._folder / f"{label}-{count}.sqlog.gz"
        try:
            file = path.open("xb", buffering=0)
        except OSError:
            self.left_out += 1
            return None
        traced = _TraceFile(self._put, file)
        self._files.append(traced)
        return QlogTrace(
            traced.add,
            title=f"{name}, {side}, connection {count}",
            side=side,
            limit_bytes=self._trace_bytes,
        )

    def close(self) -> None:
        """Writes the records that are still in memory and closes every file. Idempotent."""
        for traced in self._files:
            traced.hand_over()
        if self._thread.is_alive():
            # may block: at the end, unlike during the run, there is time for a slow disk
            self._queue.put(None)
            self._thread.join()
        for traced in self._files:
            with suppress(OSError):  # a full disk: the trace lacks its end
                traced.close()
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

    def _put(self, file: _TraceFile, batch: bytes) -> None:
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


class _TraceFile:
    """One trace. Its records are collected into batches of at least 64 KiB, so that there are few writes."""

    def __init__(self, put: Callable[[_TraceFile, bytes], None], file: BinaryIO) -> None:
        self._file = file
        self._put = put
        self._batch = bytearray()
        self._packer = zlib.compressobj(1, wbits=_GZIP)

    def add(self, record: bytes) -> None:
        self._batch += record
        if len(self._batch) >= _BATCH_BYTES:
            self.hand_over()

    def hand_over(self) -> None:
        """Gives the batch to the thread that writes."""
        if self._batch:
            self._put(self, bytes(self._batch))
            self._batch.clear()

    def write(self, batch: bytes) -> None:
        """Called by that thread. Every batch can be read once it is written, whatever comes then."""
        self._file.write(self._packer.compress(batch) + self._packer.flush(zlib.Z_SYNC_FLUSH))

    def close(self) -> None:
        """After the thread's end."""
        with self._file:
            self._file.write(self._packer.flush())
