"""The interface of a codec: a camera codes segments with it, the server decodes them.

A run has one codec. ``h264`` is the real one. A world whose pictures are not drawn has one of its own
(``world.sketch.codec``). Imports no library for video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ecco_emu.core.errors import ProtocolError
from ecco_emu.core.frames import Frame, Image
from ecco_emu.core.messages import MAX_SEGMENT_BYTES, MAX_SEGMENT_FRAMES, Segment

MIN_SIDE_PX = 16
"""Of a picture: one macroblock of H.264."""
MAX_PIXELS = 1920 * 1088
"""Of one picture: the largest that a scenario's camera may have. 1088 is 1080 in whole macroblocks of 16
lines, as H.264 codes it."""


@dataclass(frozen=True, slots=True)
class EncodedSegment:
    """A coded segment. It can be decoded on its own."""

    data: bytes
    width: int
    height: int
    frames: int
    fps: float
    crf: float
    """The compression used. 51 with more bits than asked for means that the target cannot be met."""
    attempts: int
    """The number of times that it was coded until the size was right."""

    @property
    def bits(self) -> int:
        return len(self.data) * 8


class VideoStream(Protocol):
    """The segments of one camera, coded one after the other: each teaches how large the next will be."""

    async def encode(
        self, images: Sequence[Image], target_bits: int, *, width: int, height: int, fps: float
    ) -> EncodedSegment:
        """Codes the pictures as one segment of about ``target_bits``, at this size in pixels.

        Raises ``ValueError`` for a size, a frame rate or pictures that cannot be coded.
        """
        ...


class Codec(Protocol):
    """How a run's video is coded."""

    def stream(self) -> VideoStream:
        """A new stream, which knows nothing of others."""
        ...

    async def frames(self, segment: Segment) -> list[Frame]:
        """The decoded frames, each with its index and the emulated second it was captured in.

        Raises ``ProtocolError`` if the segment is not one of ours: nothing in it is trusted.
        """
        ...


def check_codable(width: int, height: int, fps: float) -> None:
    """Raises ``ValueError`` for a size or a frame rate that no segment can have."""
    if width < MIN_SIDE_PX or height < MIN_SIDE_PX or width % 2 or height % 2:
        raise ValueError(f"a coded size must be even and at least {MIN_SIDE_PX} px, got {width}x{height}")
    if not 0 < fps <= 240:
        raise ValueError(f"fps must be in (0, 240], got {fps}")


def check_announced(size_bytes: int, frames: int, width: int, height: int, max_pixels: int) -> None:
    """Raises ``ProtocolError`` for a segment that says it is larger than any of ours."""
    if not 1 <= frames <= MAX_SEGMENT_FRAMES:
        raise ProtocolError(f"a segment of {frames} frames (1 to {MAX_SEGMENT_FRAMES} allowed)")
    if size_bytes > MAX_SEGMENT_BYTES:
        raise ProtocolError(f"a segment of {size_bytes} bytes (at most {MAX_SEGMENT_BYTES} allowed)")
    if min(width, height) < MIN_SIDE_PX or width * height > max_pixels:
        allowed = f"{MIN_SIDE_PX} px a side to {max_pixels} pixels allowed"
        raise ProtocolError(f"pictures of {width}x{height} px ({allowed})")
