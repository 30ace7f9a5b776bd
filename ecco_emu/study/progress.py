"""How far a long study is, on a terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class PhaseBars:
    """A bar for each phase of a study, with the number of its measurements that are done. A context manager:
    the bars are drawn while it is entered."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._current: TaskID | None = None

    def __enter__(self) -> PhaseBars:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def begin(self, phase: str, count: int) -> None:
        """The next phase: ``count`` measurements. A phase without any has no bar."""
        if count:
            self._current = self._bars.add_task(phase, total=count)

    def advance(self) -> None:
        """One more measurement of the current phase is done. Raises ``ValueError`` before the first phase."""
        if self._current is None:
            raise ValueError("no phase has begun")
        self._bars.advance(self._current)
