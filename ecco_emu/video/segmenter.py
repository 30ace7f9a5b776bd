"""Groups sampled frames into segments of about one emulated second (paper, section 4). Pure.

At less than a frame a second a segment holds one frame and lasts until the next one is due: a longer wait for
more frames would only make the first of them old.

A segment is complete with its own last frame. To wait for the first frame of the next segment would add a
sampling interval of delay, which is half a second at 2 frames per second.
"""

from __future__ import annotations

from ecco_emu.core.frames import Frame
from ecco_emu.core.messages import MAX_SEGMENT_FRAMES


class Segmenter:
    """Collects frames sampled at ``fps`` (per emulated second) into segments of ``length_s``.

    A segment of n frames stands for ``n / fps`` seconds. If ``length_s`` is shorter than the interval between
    two frames, each frame is a segment.
    """

    def __init__(self, fps: float, length_s: float = 1.0) -> None:
        self._length_s = length_s
        self._frames: list[Frame] = []
        self._set(fps)

    @property
    def fps(self) -> float:
        return self._fps

    @property
    def frames_per_segment(self) -> int:
        return min(MAX_SEGMENT_FRAMES, max(1, round(self._fps * self._length_s)))

    def add(self, frame: Frame) -> list[Frame] | None:
        """Takes the next frame; returns the frames of a segment when one is finished, else None.

        A gap before this frame or another picture size ends the segment in hand early. Raises ``ValueError``
        if ``frame`` is not later than the one before it.
        """
        if self._frames and frame.t <= self._frames[-1].t:
            raise ValueError(f"frame at {frame.t} s after one at {self._frames[-1].t} s")
        if self._frames and not self._continues(frame):
            finished, self._frames = self._frames, [frame]
            return finished
        self._frames.append(frame)
        return self.flush() if len(self._frames) >= self.frames_per_segment else None

    def reconfigure(self, fps: float) -> list[Frame] | None:
        """Samples at ``fps`` from now on; returns the frames of the segment this cut short, if any."""
        if fps == self._fps:
            return None
        finished = self.flush()
        self._set(fps)
        return finished

    def flush(self) -> list[Frame] | None:
        """Ends the current segment and returns its frames; None if there are none."""
        finished, self._frames = self._frames, []
        return finished or None

    def _continues(self, frame: Frame) -> bool:
        first = self._frames[0]
        # Half an interval of grace: sampled frames are ticks of the frame clock, and a segment's last one can
        # fall a little after its nominal second.
        in_time = frame.t - first.t < self._length_s + 0.5 / self._fps
        return in_time and frame.image.shape == first.image.shape

    def _set(self, fps: float) -> None:
        if not fps > 0:
            raise ValueError(f"fps must be positive, got {fps}")
        self._fps = fps
