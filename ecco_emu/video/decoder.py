"""Decodes a segment that came over the network; nothing in it is trusted.

The stream must have exactly the form that our encoder gives it, which is checked by its start codes before
libav sees it. So a segment costs at most the announced number of pictures of the announced size, in one
thread. A stream that libav reports as damaged is refused. Damage that still is valid H.264 cannot be seen
here; the transport's authentication keeps it out.
"""

from __future__ import annotations

from collections.abc import Iterator

import av
from av import VideoFrame
from av.video.reformatter import VideoReformatter

from ecco_emu.core.errors import ProtocolError
from ecco_emu.core.frames import Image
from ecco_emu.video import annexb, color
from ecco_emu.video.codec import MAX_PIXELS, check_announced

# libav compares its limit with the size of its buffers, whose sides are up to this much larger than the
# picture's.
_ALIGNMENT_PX = 64

# By default libav conceals errors and returns some picture. A student must not learn from pictures that no
# camera took, so every error that libav can see raises, and nothing is concealed (``ec``).
_OPTIONS = {
    "err_detect": "crccheck+bitstream+buffer+explode",
    "strict": "normal",
    "ec": "0",
}


def decode(
    segment_data: bytes, expected_frames: int, width: int, height: int, *, max_pixels: int = MAX_PIXELS
) -> list[Image]:
    """The segment's pictures, each ``height`` x ``width`` x 3 RGB.

    Raises ``ProtocolError`` if the stream is too long, is not one of ours, is damaged, or holds another
    number or size of frames than announced. Synchronous; libav releases the interpreter's lock, so callers
    run it in a thread.
    """
    check_announced(len(segment_data), expected_frames, width, height, max_pixels)
    streams = annexb.access_units(segment_data, expected_frames)
    scaler = VideoReformatter()
    images = [
        color.to_rgb(scaler, _checked(frame, width, height)) for frame in _frames(streams, width, height)
    ]
    if len(images) != expected_frames:
        raise ProtocolError(f"{len(images)} frames in a segment of {expected_frames}")
    return images


def _frames(streams: list[bytes], width: int, height: int) -> Iterator[VideoFrame]:
    context = av.CodecContext.create("h264", "r")
    context.thread_count = 1
    limit_px = (width + _ALIGNMENT_PX) * (height + _ALIGNMENT_PX)
    context.options = {**_OPTIONS, "max_pixels": str(limit_px)}
    try:
        for stream in streams:
            yield from context.decode(av.Packet(stream))
        yield from context.decode(None)
    except (av.FFmpegError, ValueError) as error:
        raise ProtocolError(f"a segment does not decode: {error}") from error


def _checked(frame: VideoFrame, width: int, height: int) -> VideoFrame:
    if (frame.width, frame.height) != (width, height) or frame.format.name not in color.PIXEL_FORMATS:
        raise ProtocolError(
            f"a {frame.width}x{frame.height} {frame.format.name} frame in a segment of {width}x{height}"
        )
    if frame.is_corrupt:
        raise ProtocolError("a damaged frame in a segment")
    return frame
