"""Coded segments into the message that carries them (``core.messages.Segment``), and out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from ecco_emu.core.errors import ProtocolError
from ecco_emu.core.frames import Frame, Image
from ecco_emu.core.ids import CameraId
from ecco_emu.core.messages import Segment
from ecco_emu.video.codec import EncodedSegment


def to_message(
    encoded: EncodedSegment, frames: Sequence[Frame], sequence: int, frame_clock_fps: float
) -> Segment:
    """The message for a segment coded from these frames (of one camera, in order).

    Raises ``ValueError`` if they are not as many as were coded.
    """
    if len(frames) != encoded.frames:
        raise ValueError(f"{len(frames)} frames for a segment of {encoded.frames}")
    return Segment(
        camera=frames[0].camera,
        sequence=sequence,
        fps=encoded.fps,
        width=encoded.width,
        height=encoded.height,
        indices=[frame.index for frame in frames],
        t0=frames[0].t,
        frame_clock_fps=frame_clock_fps,
        data=encoded.data,
    )


def from_message(segment: Segment, decode: Callable[[bytes, int, int, int], Sequence[Image]]) -> list[Frame]:
    """The decoded frames, each with its index and the emulated second it was captured in.

    ``decode`` makes pictures of a segment's data, the announced number of frames, width and height. Raises
    ``ProtocolError`` if the indices do not rise, and the errors of ``decode``.
    """
    # ``core.messages`` checks the order when it decodes; here it holds for segments from anywhere else too.
    if segment.indices[0] < 0 or any(later <= earlier for earlier, later in pairwise(segment.indices)):
        raise ProtocolError("a segment's frame indices do not rise")
    images = decode(segment.data, len(segment.indices), segment.width, segment.height)
    return [
        Frame(CameraId(segment.camera), index, index / segment.frame_clock_fps, image)
        for index, image in zip(segment.indices, images, strict=True)
    ]
