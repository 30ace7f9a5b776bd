"""Views of a run in the terminal: a screen that redraws itself, or plain lines where there is no terminal.

A view gets every event (``on_event``) on the run's own thread, where the screen only updates its metrics. A
thread of rich's draws the screen, only twice a second, because each drawing holds up the run's Python for
about 10 ms. A terminal that is closed ends the view alone, not the run.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ecco_emu.core import events as ev
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.parts import CameraMetrics, JobMetrics
from ecco_emu.report.telling import Teller, clean

REDRAWS_PER_S = 2
SPARKS = "▁▂▃▄▅▆▇█"
SPARK_POINTS = 20
RECENT_EVENTS = 8
LEAST_EVENTS, LEAST_JOBS = 3, 3
"""Lines that are shown of them on a screen too small for all: cameras come before, for their accuracies."""
NARROW_NAME = 14
"""Letters of a camera's name on a terminal that is not ``WIDE``: with more the figures would lose theirs."""
WIDE = 108
"""Columns of the terminal from which on all of a camera's figures are shown."""
LOW_MAP, GOOD_MAP = 0.25, 0.4
STATE_STYLES = {"streaming": "green", "stalled": "red", "idle": "bright_black"}
WEATHER_STYLES = {"day": "yellow", "night": "blue", "rain": "cyan", "fog": "bright_black"}


class Progress(Protocol):
    """A view of a run that goes on: a context manager that gets every event."""

    def on_event(self, event: ev.AnyEvent) -> None: ...

    def on_progress(self, text: str) -> None:
        """How work gets on that is no event of the run, such as measuring after its end."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_progress(console: Console, *, live: bool | None = None) -> Progress:
    """The screen on a terminal, plain lines elsewhere. ``live`` asks for one or the other."""
    return LiveView(console) if (console.is_terminal if live is None else live) else PlainProgress(console)


class LiveView:
    """The screen: header, cameras, jobs, recent events. ``clock_wall`` gives wall seconds (monotonic)."""

    def __init__(self, console: Console, clock_wall: Callable[[], float] = time.monotonic) -> None:
        self._metrics = RunMetrics()
        self._teller = Teller()
        self._recent: deque[Text] = deque(maxlen=RECENT_EVENTS)
        self._lock = Lock()
        self._clock_wall = clock_wall
        self._began_wall: float | None = None
        self._doing = ""
        self._console = console
        self._live = Live(
            console=console,
            get_renderable=self.render,
            refresh_per_second=REDRAWS_PER_S,
            transient=False,
            vertical_overflow="ellipsis",
        )

    def on_event(self, event: ev.AnyEvent) -> None:
        line = self._teller.tell(event)
        with self._lock:
            if isinstance(event, ev.RunStarted):
                self._began_wall = self._clock_wall()
            self._metrics.apply(event)
            if line is not None:
                text = f"{event.t:6.1f} s  {line.text}"
                # one line each: a long one would push the screen's end off a small terminal
                self._recent.append(Text(text, style=line.style, no_wrap=True, overflow="ellipsis"))

    def on_progress(self, text: str) -> None:
        with self._lock:
            self._doing = clean(text)

    def render(self) -> RenderableType:
        """The screen as it is now. rich's thread calls it; meanwhile events wait for about a millisecond."""
        with self._lock:
            jobs = sum(bool(job.members) for job in self._metrics.jobs.values())
            rows = Rows.of(self._console.height, len(self._metrics.cameras), jobs)
            shown = list(self._recent)[-rows.events :]
            parts: list[RenderableType] = [
                _header(self._metrics, self._elapsed_wall_s(), self._doing),
                _cameras(self._metrics, rows.cameras, wide=self._console.width >= WIDE),
                _jobs(self._metrics, rows.jobs, self._console.width),
                Panel(Group(*shown), title="events", title_align="left", border_style="bright_black"),
            ]
        return Group(*parts)

    def _elapsed_wall_s(self) -> float:
        return 0.0 if self._began_wall is None else self._clock_wall() - self._began_wall

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):  # the terminal was closed
            self._live.stop()


@dataclass(frozen=True, slots=True)
class Rows:
    """How many cameras, jobs and events a screen shows, so that no part of it pushes another off."""

    cameras: int
    jobs: int
    events: int

    @classmethod
    def of(cls, height: int, cameras: int, jobs: int) -> Self:
        """For a screen of ``height`` lines. A part that is not shown whole has a line more that says so."""
        room = height - 3 - 1 - 1 - 2 - 1  # header, two headings, the events' frame, the cursor's line
        few = jobs if jobs <= LEAST_JOBS else LEAST_JOBS + 1
        for_cameras = room - few - LEAST_EVENTS
        if cameras > for_cameras:
            return cls(max(1, for_cameras - 1), min(jobs, LEAST_JOBS), LEAST_EVENTS)
        left = room - cameras - LEAST_EVENTS
        if jobs > left:
            return cls(cameras, max(LEAST_JOBS, left - 1), LEAST_EVENTS)
        return cls(cameras, jobs, min(RECENT_EVENTS, LEAST_EVENTS + left - jobs))


class PlainProgress:
    """One line for every notable event, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._teller = Teller()
        self._closed = False

    def on_event(self, event: ev.AnyEvent) -> None:
        line = self._teller.tell(event)
        if line is not None:
            self._write(f"{event.t:8.1f} s  {line.text}")

    def on_progress(self, text: str) -> None:
        self._write(f"{'':8}    {clean(text)}")

    def _write(self, line: str) -> None:
        if self._closed:
            return
        try:
            self._console.file.write(line + "\n")
            self._console.file.flush()
        except OSError:  # the reader of a pipe is gone: the run goes on without its lines
            self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to put back."""


# -- the parts of the screen --


def sparkline(values: list[float], top: float = 1.0) -> str:
    """One character per value; a value of ``top`` or more is the tallest.

    >>> sparkline([0.0, 0.5, 1.0])
    '▁▅█'
    """
    steps = len(SPARKS) - 1
    return "".join(SPARKS[round(min(max(value / top, 0.0), 1.0) * steps + 1e-9)] for value in values)


def remaining_wall_s(metrics: RunMetrics, elapsed_wall_s: float) -> float | None:
    """The wall seconds still to go, at the run's pace so far or, in its first second, at its dilation."""
    if metrics.started is None:
        return None
    to_go = max(0.0, metrics.duration_s - metrics.t)
    pace = elapsed_wall_s / metrics.t if metrics.t >= 1.0 else metrics.started.dilation
    return to_go * pace


def _header(metrics: RunMetrics, elapsed_wall_s: float, doing: str = "") -> RenderableType:
    started = metrics.started
    if started is None:
        return Text("waiting for the run to begin", style="bright_black")
    title = Text.assemble(
        (clean(started.name), "bold"),
        (f"   policy {clean(started.policy)}   engine {clean(started.engine)}", ""),
        (f"   trainer {clean(started.trainer)} on {started.gpus} GPU   dilation {started.dilation:g}", ""),
    )
    left = remaining_wall_s(metrics, elapsed_wall_s)
    total = metrics.duration_s
    grid = Table.grid(padding=(0, 2))
    window = f"window {metrics.window + 1}/{started.windows}"
    bar = ProgressBar(total=max(total, 1e-9), completed=min(metrics.t, total), width=40)
    mean = metrics.mean_map
    grid.add_row(
        Text(f"{metrics.t:.1f} of {total:g} s"),
        bar,
        Text(window),
        Text("" if left is None else f"{_duration(left)} to go", style="bright_black"),
        Text("") if mean is None else Text(f"mean mAP {mean:.2f}", style=_map_style(mean)),
    )
    # in the screen's first lines: a screen that is too small for all of it loses its last ones
    return Group(title, Text(doing, style="yellow"), grid) if doing else Group(title, grid)


_COLUMNS = (
    "camera", "weather", "state", "student", ">mAP", "", "job", ">Mbit/s", ">target", ">rtt", ">late/lost",
)  # fmt: skip
_WIDE_ONLY = {"student", ">target", ">rtt"}


def _cameras(metrics: RunMetrics, rows: int, *, wide: bool) -> RenderableType:
    kept = [place for place, name in enumerate(_COLUMNS) if wide or name not in _WIDE_ONLY]
    table = _table(*(_COLUMNS[place] for place in kept))
    cameras = list(metrics.cameras.values())
    for camera in cameras[:rows]:
        cells = _camera_cells(camera, wide=wide)
        table.add_row(*(cells[place] for place in kept))
    rest = cameras[rows:]
    if not rest:
        return table
    known = [camera.map for camera in rest if camera.map is not None]
    accuracies = f", mAP {min(known):.2f} to {max(known):.2f}" if known else ""
    return Group(table, Text(f" and {len(rest)} more{accuracies}", style="bright_black"))


def _camera_cells(camera: CameraMetrics, *, wide: bool) -> list[Text]:
    traffic = camera.traffic[-1] if camera.traffic and camera.state != "idle" else None
    unwell = camera.segments_late + camera.segments_lost > 0
    weather = camera.weather or "–"
    points = SPARK_POINTS if wide else SPARK_POINTS // 2
    history = sparkline([point.map for point in camera.accuracy[-points:]])
    name = clean(camera.id)
    style = _map_style(camera.map)
    return [
        Text(name if wide else shortened(name, NARROW_NAME), style="bold"),
        Text(clean(weather), style=WEATHER_STYLES.get(weather, "")),
        Text(camera.state, style=STATE_STYLES[camera.state]),
        Text((camera.model or "–")[:6], style="bright_black"),
        Text("–" if camera.map is None else f"{camera.map:.2f}", style=style),
        Text(history, style=style),
        Text(clean(camera.job or "–")),
        Text(_mbit(traffic.goodput_bps if traffic else None)),
        Text(_mbit(traffic.target_bps if traffic else None), style="bright_black"),
        Text(f"{traffic.rtt_ms:.0f} ms" if traffic and math.isfinite(traffic.rtt_ms) else "–"),
        Text(f"{camera.segments_late}/{camera.segments_lost}", style="yellow" if unwell else "bright_black"),
    ]


_JOB_COLUMNS = ("job", ">mAP", ">share p", ">estimate c", ">micro-windows", "members")


def _jobs(metrics: RunMetrics, rows: int, width: int) -> RenderableType:
    jobs = [job for job in metrics.jobs.values() if job.members]
    if not jobs:
        return Text("no retraining jobs", style="bright_black")
    table = _table(*_JOB_COLUMNS)
    training = metrics.micro_windows[-1].job if metrics.micro_windows else None
    # the members may take what the other columns leave: rich would take from all of them alike
    names = max(len(clean(job.id)) for job in jobs[:rows])
    others = sum(len(name.removeprefix(">")) + 2 for name in _JOB_COLUMNS[1:-1]) + names + 2
    for job in jobs[:rows]:
        table.add_row(*_job_cells(job, now=job.id == training, members=max(8, width - others - 2)))
    if len(jobs) <= rows:
        return table
    return Group(table, Text(f" and {len(jobs) - rows} more", style="bright_black"))


def _job_cells(job: JobMetrics, *, now: bool, members: int) -> list[Text]:
    shown = Text(clean(", ".join(job.members)))
    shown.truncate(members, overflow="ellipsis")
    return [
        Text(clean(job.id), style="bold green" if now else "bold"),
        Text("–" if job.map is None else f"{job.map:.2f}", style=_map_style(job.map)),
        Text("–" if job.p is None else f"{job.p:.2f}"),
        Text("–" if job.c is None else f"{job.c:.1f}"),
        Text(str(len(job.micro_windows))),
        shown,
    ]


def shortened(text: str, most: int) -> str:
    """At most so many letters, with the middle left out: names of cameras differ at their ends.

    >>> shortened("harbour-camera-12", 12)
    'harbo…era-12'
    """
    if len(text) <= most:
        return text
    end = most // 2
    return f"{text[: most - end - 1]}…{text[-end:]}"


def _table(*columns: str) -> Table:
    """A table with these columns. Those whose names begin with ``>`` are aligned to the right."""
    table = Table(expand=False, box=None, padding=(0, 1), header_style="bright_black")
    for name in columns:
        table.add_column(
            name.removeprefix(">"), justify="right" if name.startswith(">") else "left", no_wrap=True
        )
    return table


def _map_style(value: float | None) -> str:
    if value is None:
        return "bright_black"
    return "green" if value >= GOOD_MAP else "yellow" if value >= LOW_MAP else "red"


def _mbit(bps: float | None) -> str:
    return "–" if bps is None or not math.isfinite(bps) else f"{bps / 1e6:.2f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
