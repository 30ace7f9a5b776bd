"""Codes a segment of frames as H.264 so that it takes a given number of bits.

An open libx264 context ignores a new bit rate, and its own rate control misses the size of a one-second
segment, which has few frames, by up to half. So every segment gets a context of its own with a constant
quantiser, which ``rate_model`` chooses. A segment that missed its size is coded again with a better
quantiser; with 1 to 15 small frames that costs milliseconds. Frame rate and resolution never change here:
the encoder tracks the rate by changing compression only (paper, section 3.2.2).

Synchronous; libav releases the interpreter's lock, so callers run it in a thread. Two threads must not use
one encoder at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from av import VideoFrame
from av.video.reformatter import VideoReformatter

from ecco_emu.core.frames import Image
from ecco_emu.core.messages import MAX_SEGMENT_BYTES, MAX_SEGMENT_FRAMES
from ecco_emu.video import annexb, color
from ecco_emu.video.codec import EncodedSegment, check_codable
from ecco_emu.video.rate_model import Attempt, RateModel, Search

# Measured (docs/notes/video.md): at equal bits this is at most 0.5 dB (PSNR) behind the preset with B frames
# and lookahead, at less CPU. qcomp=1 makes CRF a constant quantiser, as the rate model assumes. Weak adaptive
# quantisation lets a fractional CRF take effect: H.264's quantiser is a whole number, and a part of the
# macroblocks gets the next one. keyint, scenecut, threads and slices give the segment the one form that
# ``annexb.access_units`` admits.
_X264_PARAMS = "qcomp=1:aq-strength=0.4:keyint=infinite:scenecut=0:threads=1:slices=1:sliced-threads=0"


class SegmentEncoder:
    """Codes the segments of one sampling configuration. Each segment improves its rate model.

    ``width`` and ``height`` (px, even) are the coded size; pictures of any size are resized to it. When the
    sampling configuration changes, the new encoder is given the old one's ``model``. Raises ``ValueError``
    for a size or a frame rate that cannot be coded.
    """

    def __init__(self, width: int, height: int, fps: float, model: RateModel | None = None) -> None:
        check_codable(width, height, fps)
        self.width = width
        self.height = height
        self.fps = fps
        self.model = model or RateModel()
        self._scaler = VideoReformatter()

    def encode(self, images: Sequence[Image], target_bits: int) -> EncodedSegment:
        """Codes 1 to ``MAX_SEGMENT_FRAMES`` RGB pictures into a stream of about ``target_bits``.

        Not every target can be met: the result can be too large with the coarsest quantiser (``crf`` is
        then 51) or too small with the finest. Raises ``ValueError`` for no or too many pictures, a picture
        that is not height x width x 3 uint8, or a target that is not positive.
        """
        if not 1 <= len(images) <= MAX_SEGMENT_FRAMES:
            raise ValueError(f"a segment has 1 to {MAX_SEGMENT_FRAMES} frames, got {len(images)}")
        if target_bits <= 0:
            raise ValueError(f"target_bits must be positive, got {target_bits}")
        planes = [self._planes(image) for image in images]
        # A tenth of room for a miss, because the receiver refuses a segment above ``MAX_SEGMENT_BYTES``.
        target_bits = min(target_bits, MAX_SEGMENT_BYTES * 8 * 9 // 10)
        pixels = self.width * self.height
        search = Search(self.model, target_bits, pixels, len(planes))
        coded: dict[float, list[bytes]] = {}
        while (crf := search.next_crf()) is not None:
            coded[crf] = self._code(planes, crf)
            search.add(Attempt(crf, tuple(len(frame) * 8 for frame in coded[crf])))
        best = search.best
        self.model = self.model.learn(search.attempts, best, pixels=pixels)
        return EncodedSegment(
            data=b"".join(coded[best.crf]),
            width=self.width,
            height=self.height,
            frames=len(planes),
            fps=self.fps,
            crf=best.crf,
            attempts=len(search.attempts),
        )

    def _planes(self, image: Image) -> VideoFrame:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"not a height x width x 3 uint8 picture: {image.shape} {image.dtype}")
        return color.to_planes(self._scaler, image, self.width, self.height)

    def _code(self, planes: Sequence[VideoFrame], crf: float) -> list[bytes]:
        """Each frame's bytes at this CRF."""
        context = self._context(crf)
        packets = []
        for index, frame in enumerate(planes):
            frame.pts = index
            packets += context.encode(frame)
        packets += context.encode(None)
        return [_without_sei(bytes(packet)) for packet in packets]

    def _context(self, crf: float) -> av.VideoCodecContext:
        context = av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = self.width, self.height, "yuv420p"
        context.framerate = Fraction(self.fps).limit_denominator(1000)
        context.time_base = 1 / context.framerate
        context.thread_count = 1
        context.color_range, context.colorspace = color.FULL_RANGE, color.AVCOL_SPC_SMPTE170M
        context.options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "crf": f"{crf:.3f}",
            "x264-params": _X264_PARAMS,
        }
        return context


def _without_sei(stream: bytes) -> bytes:
    """Drops x264's identification: 600 bytes in every segment that no decoder needs."""
    units = annexb.split(stream, max_units=16)
    return annexb.join(unit for unit in units if annexb.unit_type(unit) != annexb.SEI)
