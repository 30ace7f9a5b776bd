"""How a run stands, in a few lines: for an error's message, or below a test that failed."""

from __future__ import annotations

from collections import deque

from ecco_emu.core import events as ev
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.parts import CameraMetrics
from ecco_emu.report.telling import Teller, clean


def standing(metrics: RunMetrics) -> str:
    """A line for each camera: its state, weather, job, newest accuracy, and the fate of its segments."""
    return "\n".join(clean(_camera(camera)) for camera in metrics.cameras.values())


class RecentEvents:
    """The newest notable events of a run as lines. Its ``on_event`` is a listener for ``subscribe``."""

    def __init__(self, most: int) -> None:
        self._teller = Teller()
        self._lines: deque[str] = deque(maxlen=most)

    def on_event(self, event: ev.AnyEvent) -> None:
        line = self._teller.tell(event)
        if line is not None:
            self._lines.append(f"{event.t:8.1f} s  {line.text}")

    @property
    def lines(self) -> list[str]:
        return list(self._lines)


def _camera(camera: CameraMetrics) -> str:
    parts: list[str] = [camera.state]
    parts += [each for each in (camera.weather, camera.job) if each is not None]
    if camera.map is not None:
        parts.append(f"mAP {camera.map:.2f}")
    parts.append(f"{camera.segments_delivered} of {camera.segments_sent} segments delivered")
    parts += [
        f"{count} {fate}"
        for fate, count in (("late", camera.segments_late), ("lost", camera.segments_lost))
        if count
    ]
    return f"{camera.id}: {', '.join(parts)}"
