import io
import re

import pytest
from rich.console import Console

from ecco_emu.core import events as ev
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.report.telling import Teller, tell
from ecco_emu.report.terminal import LiveView, PlainProgress, open_progress, remaining_wall_s, sparkline
from tests.unit.record.synthetic import second_drift, started, story


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
        "trainer yolo on 2 GPU",
        "50.0 of 60 s",
        "window 3/3",
        "job1",
        "streaming",
        "fog",
        "fault: bottleneck set rate=3mbit",
    ):
        assert shown in screen


@pytest.mark.parametrize("cameras", [3, 10])
def test_a_small_terminal_shows_accuracies_and_the_newest_events(cameras: int) -> None:
    names = tuple(f"cam{number}" for number in range(cameras))
    view = LiveView(Console(file=io.StringIO(), width=80, height=24), clock_wall=lambda: 0.0)
    view.on_event(started(cameras=names))
    for name in names:
        view.on_event(ev.JobCreated(t=1.0, job=f"job-{name}", camera=name, model="m", gains={}))
        view.on_event(ev.Accuracy(t=2.0, camera=name, map=0.37, map50=0.5, frames=8, model="m"))
        view.on_event(
            ev.CameraConfigured(
                t=3.0, camera=name, state="streaming", fps=5, width=320, height=192, alpha=0.1
            )
        )
    screen = drawn(view, width=80)
    assert screen.count("0.37") == cameras + 1
    assert not [line for line in screen.splitlines() if "…" in line and "quickstart begins" not in line]
    assert f"{names[-1]} streams" in screen


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    def coloured() -> list[str]:
        console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
        view = LiveView(console, clock_wall=lambda: 0.0)
        for event in story():
            view.on_event(event)
        with console.capture() as capture:
            console.print(view.render())
        return re.findall(r"\x1b\[(?:\d+;)*(?:3|4|9|10)[0-7](?:;\d+)*m", capture.get())

    assert coloured()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured()


@pytest.mark.parametrize("cameras", [1, 5, 10, 12, 22, 60])
@pytest.mark.parametrize("groups", [0, 1, 4, 22])
def test_every_part_of_the_screen_stays_on_a_small_terminal(cameras: int, groups: int) -> None:
    """80 × 24: accuracies of cameras, also of those not shown, jobs with theirs, and the last event."""
    names = tuple(f"harbour-camera-{number}" for number in range(cameras))
    view = LiveView(Console(file=io.StringIO(), width=80, height=24), clock_wall=lambda: 0.0)
    view.on_event(started(cameras=names))
    view.on_progress("measuring")
    for number, name in enumerate(names):
        view.on_event(ev.Accuracy(t=2.0, camera=name, map=0.37, map50=0.5, frames=8, model="m"))
        if groups:
            job = f"job{number % groups}"
            view.on_event(ev.JobCreated(t=1.0, job=job, camera=name, model="m", gains={}))
            view.on_event(
                ev.MicroWindow(t=4.0, window=0, index=0, start=2.0, job=job, map_before=0.1, map_after=0.29)
            )
    view.on_event(ev.Trouble(t=5.0, where="here", text="the newest"))
    lines = drawn(view, width=80).splitlines()
    assert len(lines) < 24, "\n".join(lines)
    assert all(len(line) <= 80 for line in lines)
    shown = sum("0.37" in line and "harbou" in line for line in lines)
    assert shown >= min(cameras, 8)
    assert shown == cameras or any(f"and {cameras - shown} more, mAP 0.37 to 0.37" in line for line in lines)
    assert any("job0" in line and "0.29" in line and "harbour" in line for line in lines) == bool(groups)
    assert "the newest" in lines[-2]


def test_a_screen_says_how_measuring_gets_on() -> None:
    view = LiveView(Console(file=io.StringIO()), clock_wall=lambda: 0.0)
    view.on_event(started())
    view.on_progress("measuring its students: 4 of 12")
    assert "measuring its students: 4 of 12" in drawn(view)
    out = io.StringIO()
    PlainProgress(Console(file=out)).on_progress("measuring its students: 4 of 12")
    assert out.getvalue().strip() == "measuring its students: 4 of 12"


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (ev.RequestDeferred(t=1, camera="a", gains={}, times=1), "a waits for a group"),
        (
            ev.RequestDeferred(t=1, camera="a", gains={"job1": -0.02, "job2": 0.01}, times=3),
            "a waits for a group (best so far: job2, gain +0.01, 3 times now)",
        ),
        (ev.RequestRefused(t=1, camera="a", reason="too many"), "a is refused retraining: too many"),
        (ev.JobLeft(t=1, job="j", camera="a", drop=0.19), "a leaves j: its model fell by 0.19 there"),
        (ev.JobLeft(t=1, job="j", camera="a", reason="asked again"), "a leaves j: it asks again"),
        (
            ev.JobLeft(t=1, job="j", camera="a", reason="no better"),
            "a leaves j: its model is no better there",
        ),
        (ev.JobLeft(t=1, job="j", camera="a", reason="released"), "a leaves j: released"),
        (ev.JobLeft(t=1, job="j", camera="a", reason="gone"), "a leaves j: the camera is gone"),
        (ev.JobEnded(t=1, job="j", reason="recovered"), "j ended: recovered"),
    ],
)
def test_requests_and_partings_are_told(event: ev.AnyEvent, told: str) -> None:
    line = tell(event)
    assert line is not None
    assert line.text == told


def test_how_a_camera_streams_is_told_when_it_changes() -> None:
    def configured(fps: float, alpha: float, state: str = "streaming") -> ev.CameraConfigured:
        return ev.CameraConfigured(
            t=1, camera="a", state=state, fps=fps, width=320, height=192, alpha=alpha, weight=1.0
        )

    teller = Teller()
    events = [
        configured(5 / 7, 1),
        configured(5 / 7, 2),
        configured(5, 2),
        configured(0, 0, "idle"),
        configured(5, 2),
    ]
    told = [None if (line := teller.tell(event)) is None else line.text for event in events]
    assert told == [
        "a streams 320×192 at 0.714 fps",
        None,
        "a streams 320×192 at 5 fps",
        "a is idle",
        "a streams 320×192 at 5 fps",
    ]


def test_a_student_that_is_offered_again_is_no_news() -> None:
    def runs(model: str, camera: str = "a") -> ev.StudentRunning:
        return ev.StudentRunning(t=1, camera=camera, model=model, transferred_bytes=0, transfer_s=0.0)

    teller = Teller()
    events = [runs("m1"), runs("m1"), runs("m1", "b"), runs("m2"), runs("m1")]
    assert [teller.tell(event) is not None for event in events] == [True, False, True, True, True]


def test_of_many_missed_deadlines_one_is_told_now_and_then() -> None:
    teller = Teller()
    told = [
        teller.tell(ev.DeadlineMissed(t=t, text="2 frames", late_s=0.2, allowed_s=0.1)) for t in (1, 2, 7)
    ]
    assert [line and line.text for line in told] == [
        "late by 0.2 s: 2 frames",
        None,
        "late by 0.2 s: 2 frames",
    ]


def test_measured_students_are_not_told_one_by_one() -> None:
    assert not any(tell(event) for event in second_drift() if isinstance(event, ev.StudentMeasured))


def test_plain_progress_is_one_line_for_each_notable_event() -> None:
    out = io.StringIO()
    with open_progress(Console(file=out)) as progress:
        for event in story():
            progress.on_event(event)
    lines = out.getvalue().splitlines()
    teller = Teller()
    assert len(lines) == sum(teller.tell(event) is not None for event in story())
    assert (
        lines[0]
        == "     0.0 s  quickstart begins: 5 cameras, policy ecco, trainer yolo, engine relay, dilation 4"
    )
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
