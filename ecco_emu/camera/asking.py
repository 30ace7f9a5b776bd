"""A camera's retraining request from the drift to its answer: when to ask, with which frames. Pure.

drift noticed --enough frames since its onset, or waited long enough--> asked --Assignment--> answered
                               ^                                          |
                               +------- still drifted after retry_s ------+-- Refused
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from ecco_emu.core.frames import Frame

REQUEST_FRAMES = 8
"""Frames in a retraining request: the subset on which Algorithm 2 compares models (line 5)."""
REQUEST_WAIT_S = 4.0
"""A request waits for ``REQUEST_FRAMES`` frames since the onset, but no longer than this, in emulated
seconds after the alarm."""
_KEPT_FRAMES = 3 * REQUEST_FRAMES


class RecentFrames:
    """The newest frames that the student looked at."""

    def __init__(self, capacity: int = _KEPT_FRAMES) -> None:
        self._frames: deque[Frame] = deque(maxlen=capacity)

    def add(self, frame: Frame) -> None:
        self._frames.append(frame)

    def since(self, t: float) -> list[Frame]:
        """Those captured at emulated ``t`` or later, oldest first."""
        return [frame for frame in self._frames if frame.t >= t]


def spread(frames: Sequence[Frame], count: int) -> list[Frame]:
    """At most ``count`` of the frames, evenly spread over them; the newest is among them."""
    if len(frames) <= count:
        return list(frames)
    # neighbouring frames show the same cars, so frames far apart say more
    step = (len(frames) - 1) / (count - 1) if count > 1 else 0.0
    return [frames[len(frames) - 1 - round(step * place)] for place in reversed(range(count))]


@dataclass(slots=True)
class Drift:
    """A drift that the server has not taken up yet."""

    since: float
    """When it began."""
    frames_from: float
    """The frames to ask with were captured from then on: since it began or, after a refusal, since that."""
    not_before: float
    """When to ask at the earliest."""
    until: float
    """From then on the camera asks with whatever frames it has."""
    asked: bool = False
    """The server was asked, or will be once there is a connection, and has not answered."""
    refused: bool = False
    """The server refused a request for it; the camera asks again."""


class Asking:
    """The drift that a camera has to ask for, if any. Times are emulated seconds."""

    def __init__(self) -> None:
        self.drift: Drift | None = None

    @property
    def asked(self) -> bool:
        return self.drift is not None and self.drift.asked

    def noticed(self, since: float, t: float) -> None:
        """The alarm at ``t``. A drift that follows another one takes its place: the camera sees it now."""
        self.drift = Drift(since, frames_from=since, not_before=t, until=t + REQUEST_WAIT_S)

    def due(self, t: float, frames: int) -> bool:
        """Whether to ask now, with so many ``frames`` to ask with."""
        drift = self.drift
        if drift is None or drift.asked or t < drift.not_before:
            return False
        return frames >= REQUEST_FRAMES or t >= drift.until

    def retries(self, t: float) -> bool:
        """Whether the camera is about to ask again after a refusal. It should see if the drift lasts."""
        drift = self.drift
        return drift is not None and drift.refused and not drift.asked and t >= drift.not_before

    def assigned(self) -> bool:
        """An assignment arrived. True if it answers a request.

        A camera in a job gets assignments without asking. One that arrives before the camera has asked
        answers nothing.
        """
        answered = self.drift is not None and (self.drift.asked or self.drift.refused)
        if answered:
            self.drift = None
        return answered

    def refused(self, t: float, retry_s: float) -> None:
        if self.drift is not None and self.drift.asked:
            self.drift.asked, self.drift.refused = False, True
            self.drift.frames_from, self.drift.not_before = t, t + retry_s
            self.drift.until = t + retry_s + REQUEST_WAIT_S

    def forget(self) -> None:
        self.drift = None
