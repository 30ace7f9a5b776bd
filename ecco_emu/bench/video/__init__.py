"""``ecco-emu bench video``: how near the encoder's segments come to their targets, their CPU time, how they
look.

``street`` draws the pictures, so that the benchmark needs no renderer. ``encoder`` codes them and measures,
and ``command`` does so for every size, frame rate and target of docs/video.md.
"""
