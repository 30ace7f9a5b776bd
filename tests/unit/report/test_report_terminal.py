import io

import pytest
from rich.console import Console

from ecco_emu.core import events as ev
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.report.telling import tell
from ecco_emu.report.terminal import LiveView, PlainProgress, open_progress, remaining_wall_s, sparkline
from tests.unit.record.synthetic import started, story


def drawn(view: LiveView, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(view.render())
    return capture.get()


def test_a_screen_shows_cameras_jobs_and_progress() -> None:
    view = LiveView(Console(file=io.StringIO()), clock_wall=lambda: 0.0)
    assert "waiting" in drawn(view)
    for event in story():
        if event.t <= 50:
            view.on_event(event)
    screen = drawn(view)
    for shown in (
        "quickstart",
        "50.0 of 60 s",
        "window 3/3",
        "job1",
        "streaming",
        "fog",
        "fault: bottleneck set rate=3mbit",
    ):
        assert shown in screen


def test_plain_progress_is_one_line_for_each_notable_event() -> None:
    out = io.StringIO()
    with open_progress(Console(file=out)) as progress:
        for event in story():
            progress.on_event(event)
    lines = out.getvalue().splitlines()
    assert len(lines) == sum(tell(event) is not None for event in story())
    assert lines[0] == "     0.0 s  quickstart begins: 5 cameras, policy ecco, engine relay, dilation 4"
    assert lines[-1] == "    60.0 s  ended: ok"


def test_a_closed_pipe_ends_the_lines_and_not_the_run() -> None:
    class Closed(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            raise BrokenPipeError

    out = Closed()
    progress = PlainProgress(Console(file=out))
    progress.on_event(started())
    progress.on_event(started())
    assert out.writes == 1


def test_a_terminal_gets_the_screen_and_anything_else_lines() -> None:
    assert isinstance(open_progress(Console(file=io.StringIO(), force_terminal=True)), LiveView)
    assert isinstance(open_progress(Console(file=io.StringIO())), PlainProgress)
    assert isinstance(
        open_progress(Console(file=io.StringIO(), force_terminal=True), live=False), PlainProgress
    )


def test_escape_sequences_do_not_reach_the_terminal() -> None:
    line = tell(ev.Trouble(t=1.0, where="peer", text="\x1b]0;owned\x07 hello"))
    assert line is not None
    assert line.text == "trouble in peer: �]0;owned� hello"


@pytest.mark.parametrize(
    ("t", "elapsed_wall_s", "left_s"), [(0.0, 5.0, 240.0), (30.0, 150.0, 150.0), (70.0, 300.0, 0.0)]
)
def test_what_is_left_is_told_at_the_pace_so_far(t: float, elapsed_wall_s: float, left_s: float) -> None:
    metrics = RunMetrics.of([started(), ev.Trouble(t=t, where="x", text="y")])
    assert remaining_wall_s(metrics, elapsed_wall_s) == pytest.approx(left_s)


def test_sparkline() -> None:
    assert sparkline([-1.0, 0.0, 0.5, 1.0, 2.0]) == "▁▁▅██"
    assert sparkline([]) == ""
