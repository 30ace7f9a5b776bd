"""The real codec: H.264. Segments are coded and decoded in threads: libav lets go of the interpreter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ecco_emu.core.frames import Frame, Image
from ecco_emu.core.messages import Segment
from ecco_emu.video.codec import EncodedSegment
from ecco_emu.video.decoder import decode
from ecco_emu.video.encoder import SegmentEncoder
from ecco_emu.video.messages import from_message


class H264Codec:
    """Implements ``video.codec.Codec``."""

    def stream(self) -> H264Stream:
        return H264Stream()

    async def frames(self, segment: Segment) -> list[Frame]:
        return await asyncio.to_thread(from_message, segment, decode)


class H264Stream:
    """Implements ``video.codec.VideoStream``, with an encoder for each sampling configuration."""

    def __init__(self) -> None:
        self._encoder: SegmentEncoder | None = None

    async def encode(
        self, images: Sequence[Image], target_bits: int, *, width: int, height: int, fps: float
    ) -> EncodedSegment:
        encoder = self._encoder_for(width, height, fps)
        return await asyncio.to_thread(encoder.encode, images, target_bits)

    def _encoder_for(self, width: int, height: int, fps: float) -> SegmentEncoder:
        """The encoder of this sampling configuration; it inherits the last one's rate model."""
        last = self._encoder
        if last is None or (last.width, last.height, last.fps) != (width, height, fps):
            self._encoder = last = SegmentEncoder(width, height, fps, last.model if last else None)
        return last
