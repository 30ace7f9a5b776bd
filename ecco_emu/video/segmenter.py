"""Groups sampled frames into segments of about one emulated second (paper section 3.2). Pure.

A segment is full with its last frame, not with the first of the next: waiting for that one would add a
sampling interval of delay, half a second at 2 fps.
"""

from __future__ import annotations

from ecco_emu.core.frames import Frame
from ecco_emu.core.messages import MAX_SEGMENT_FRAMES


class Segmenter:
    """Collects frames sampled at ``fps`` (per emulated second) into segments of ``length_s``.

    A segment stands for ``len(frames) / fps`` seconds; below one frame a segment, each frame is one.
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
        """Takes the next frame and returns a segment's frames when one is finished.

        A gap in the stream or another picture size finishes the segment before it early. Raises
        ``ValueError`` if ``frame`` is not later than the one before it.
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
        # Half an interval of grace: sampling picks ticks of the frame clock, which need not fit evenly.
        in_time = frame.t - first.t < self._length_s + 0.5 / self._fps
        return in_time and frame.image.shape == first.image.shape

    def _set(self, fps: float) -> None:
        if not fps > 0:
            raise ValueError(f"fps must be positive, got {fps}")
        self._fps = fps
