"""Between RGB pictures and the codec's planes: BT.601, full range, 4:2:0, the same both ways.

Full range wastes no levels; BT.601 comes out 0.6 dB ahead of BT.709 on saturated edges after the round
trip. swscale's default conversion is off by up to two levels, so the exact one is asked for.
"""

from __future__ import annotations

import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from ecco_emu.core.frames import Image

PIXEL_FORMATS = ("yuv420p", "yuvj420p")
"""What our streams decode to; the second is libav's name for full range."""

AVCOL_SPC_SMPTE170M = 6
"""H.264 Table E-5, ``matrix_coefficients``: BT.601 (525 lines)."""
FULL_RANGE = int(ColorRange.JPEG)

_EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
_SCALING = Interpolation.BICUBIC | _EXACT


def to_planes(scaler: VideoReformatter, image: Image, width: int, height: int) -> VideoFrame:
    """The picture (height x width x 3 RGB) resized to ``width`` x ``height`` px as a YUV 4:2:0 frame.

    swscale's bicubic filter widens with the reduction, so that downscaling does not alias.
    """
    return scaler.reformat(
        VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"),
        width,
        height,
        "yuv420p",
        dst_colorspace=Colorspace.ITU601,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=_SCALING,
        threads=1,
    )


def to_rgb(scaler: VideoReformatter, frame: VideoFrame) -> Image:
    """A decoded frame as height x width x 3 RGB, whatever colours the stream claims to have."""
    rgb = scaler.reformat(
        frame,
        format="rgb24",
        src_colorspace=Colorspace.ITU601,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=_SCALING,
        threads=1,
    )
    return np.asarray(rgb.to_ndarray(), dtype=np.uint8)
