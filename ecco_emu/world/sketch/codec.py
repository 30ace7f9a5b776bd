"""The codec of sketches: a segment holds their stamps and has the size that the real encoder would give it.

A segment begins with a header, the numbers of the frames follow, then zeros up to the size. The real encoder
misses its target a little: by how much was measured on rendered pictures (docs/notes/video.md), and segments
of sketches miss theirs by as much.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

import numpy as np

from ecco_emu.core.errors import ProtocolError
from ecco_emu.core.frames import Frame, Image
from ecco_emu.core.ids import CameraId
from ecco_emu.core.messages import MAX_SEGMENT_BYTES, Segment
from ecco_emu.video.codec import MAX_PIXELS, EncodedSegment, check_announced, check_codable
from ecco_emu.video.messages import from_message
from ecco_emu.video.rate_model import RateModel
from ecco_emu.world.sketch.picture import Stamp, sketch, stamp_of

SIZE_RATIOS = (0.900, 0.905, 0.915, 0.945, 0.970, 0.997, 1.032, 1.038, 1.049)
"""Quantiles of a real segment's size over its target."""
RATIO_LEVELS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
LEAST_BITS_PER_PX, MOST_BITS_PER_PX = 0.06, 6.3
"""Of a segment's first picture, at the coarsest and at the finest quantiser: means over four weathers."""
LEAST_INTER, MOST_INTER = 0.07, 0.78
"""Bits of each further picture over those of the first, at the same quantisers."""

_HEADER = struct.Struct("<4sHH")
_MAGIC = b"sksg"
_MODEL = RateModel()


class SketchCodec:
    """Implements ``video.codec.Codec`` for the sketches of a world with these cameras, in its order."""

    def __init__(self, cameras: Sequence[CameraId], seed: int) -> None:
        self._numbers = {camera: number for number, camera in enumerate(cameras)}
        self._seed = seed

    def stream(self) -> SketchStream:
        return SketchStream(self._seed)

    async def frames(self, segment: Segment) -> list[Frame]:
        frames = from_message(segment, _decode)
        number = self._numbers.get(CameraId(segment.camera))
        for frame in frames:
            stamp = stamp_of(frame.image)
            if stamp.camera != number or stamp.index != frame.index:
                raise ProtocolError("a segment's sketches are of other frames than it says")
        return frames


class SketchStream:
    """Implements ``video.codec.VideoStream``."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    async def encode(
        self, images: Sequence[Image], target_bits: int, *, width: int, height: int, fps: float
    ) -> EncodedSegment:
        check_codable(width, height, fps)
        stamps = [stamp_of(image) for image in images]
        camera = stamps[0].camera
        if any(stamp.camera != camera for stamp in stamps):
            raise ValueError("the sketches of a segment are of several cameras")
        indices = np.array([stamp.index for stamp in stamps], "<u4").tobytes()
        content = _HEADER.pack(_MAGIC, camera, len(stamps)) + indices
        pixels = width * height
        bits = _within_reach(target_bits * self._ratio(content), pixels, len(stamps))
        size_bytes = min(MAX_SEGMENT_BYTES, max(len(content), round(bits / 8)))
        return EncodedSegment(
            data=content.ljust(size_bytes, b"\0"),
            width=width,
            height=height,
            frames=len(stamps),
            fps=fps,
            crf=_MODEL.crf_for(size_bytes * 8, pixels=pixels, frames=len(stamps)),
            attempts=1,
        )

    def _ratio(self, content: bytes) -> float:
        """The segment's size over its target: a function of its frames, as with the real encoder."""
        digest = hashlib.blake2b(content, digest_size=4, key=self._seed.to_bytes(8, "little")).digest()
        return float(np.interp(int.from_bytes(digest, "little") / 2**32, RATIO_LEVELS, SIZE_RATIOS))


def _within_reach(bits: float, pixels: int, frames: int) -> float:
    """The nearest size that some quantiser gives."""
    least = pixels * LEAST_BITS_PER_PX * (1 + LEAST_INTER * (frames - 1))
    most = pixels * MOST_BITS_PER_PX * (1 + MOST_INTER * (frames - 1))
    return min(max(bits, least), most)


def _decode(data: bytes, frames: int, width: int, height: int) -> list[Image]:
    """The sketches in a segment's data. Raises ``ProtocolError`` for data of any other form."""
    check_announced(len(data), frames, width, height, MAX_PIXELS)
    end = _HEADER.size + 4 * frames
    if len(data) < end:
        raise ProtocolError("a segment of sketches is cut short")
    magic, camera, count = _HEADER.unpack_from(data)
    if magic != _MAGIC or count != frames:
        raise ProtocolError(f"not a segment of {frames} sketches")
    if data.count(0, end) != len(data) - end:
        raise ProtocolError("the stamps of a segment of sketches are followed by something else than zeros")
    indices = np.frombuffer(data, "<u4", frames, _HEADER.size).tolist()
    return [sketch((width, height), Stamp(camera, index)) for index in indices]
