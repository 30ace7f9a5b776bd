"""Video segments: cutting sampled frames into seconds, coding each to a number of bits, and back.

``segmenter`` groups frames; ``encoder`` codes a group with libx264 so that it takes the bits it was
given, with what ``rate_model`` learned from earlier segments; ``decoder`` reads what came over the
network and trusts none of it; ``messages`` joins both to ``core.messages.Segment``.
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
