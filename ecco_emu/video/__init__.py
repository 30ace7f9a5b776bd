"""Video segments: sampled frames are grouped into seconds, coded to a number of bits, and decoded again.

``segmenter`` groups frames into segments. ``encoder`` codes a segment with libx264 to about a given number of
bits, for which ``rate_model`` remembers how earlier segments came out. ``decoder`` decodes a segment that
came over the network and trusts nothing in it. ``messages`` puts segments into ``core.messages.Segment`` and
takes them out. ``annexb`` (the byte stream) and ``color`` (pixel formats) serve encoder and decoder.
"""

from ecco_emu.video.decoder import decode
from ecco_emu.video.encoder import EncodedSegment, SegmentEncoder
from ecco_emu.video.messages import from_message, to_message
from ecco_emu.video.rate_model import RateModel
from ecco_emu.video.segmenter import Segmenter

__all__ = [
    "EncodedSegment",
    "RateModel",
    "SegmentEncoder",
    "Segmenter",
    "decode",
    "from_message",
    "to_message",
]
