"""Video segments: sampled frames are grouped into seconds, coded to a number of bits, and decoded again.

``segmenter`` groups frames into segments. ``codec`` is the interface of what codes and decodes them, ``h264``
the real one. Behind it ``encoder`` codes a segment with libx264 to about a given number of bits, for which
``rate_model`` remembers how earlier segments came out, and ``decoder`` decodes a segment that came over the
network and trusts nothing in it. ``messages`` puts segments into ``core.messages.Segment`` and takes them
out. ``annexb`` (the byte stream) and ``color`` (pixel formats) serve encoder and decoder.

Nothing is imported here: a run without video imports some of these modules, and not libav.
"""
