"""How a run stands, in a few lines."""

from __future__ import annotations

from ecco_emu.core import events as ev
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.report.standing import RecentEvents, standing
from tests.unit.record.synthetic import story


def test_a_line_for_each_camera_tells_its_state_and_its_segments() -> None:
    seen = RunMetrics.of(event for event in story() if event.t <= 50)
    lines = standing(seen).splitlines()
    assert [line.partition(":")[0] for line in lines] == list(seen.cameras)
    camera = next(camera for camera in seen.cameras.values() if camera.state == "streaming")
    [line] = [line for line in lines if line.startswith(f"{camera.id}:")]
    assert line.startswith(f"{camera.id}: streaming, {camera.weather}, {camera.job}, mAP {camera.map:.2f}, ")
    assert f"{camera.segments_delivered} of {camera.segments_sent} segments delivered" in line
    assert standing(RunMetrics()) == ""


def test_the_newest_notable_events_are_kept() -> None:
    recent = RecentEvents(2)
    for t in range(4):
        recent.on_event(ev.Trouble(t=t, where="a link", text=f"number {t}\x1b[2J"))
        recent.on_event(ev.Accuracy(t=t, camera="a", map=0.3, map50=0.5, frames=8, model="m"))
    assert recent.lines == [f"{t:8.1f} s  trouble in a link: number {t}�[2J" for t in (2, 3)]
