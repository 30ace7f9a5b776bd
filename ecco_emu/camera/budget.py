"""The number of bits that the next segment may have, by the rate that congestion control allows."""

from __future__ import annotations

MIN_SEGMENT_BITS = 12_000.0
"""With fewer bits even a few frames of 320x192 px are unusable, so it is better that they arrive late."""


def segment_budget_bits(
    *, allowed_bps: float, backlog_bytes: float, duration_s: float, max_backlog_s: float = 1.0
) -> float:
    """Bits for a segment of ``duration_s``, so that sending keeps up with the rate that transport allows.

    The encoder tracks that rate by compression alone (paper, section 3.2.2). The segment gets the whole
    allowed rate, less the rate that would send the waiting bytes within ``max_backlog_s``, or within the
    segment's own duration if that is longer. So an empty queue gives the allowed rate, and a queue of that
    many seconds at that rate gives ``MIN_SEGMENT_BITS``.

    >>> segment_budget_bits(allowed_bps=400e3, backlog_bytes=0, duration_s=1.0)
    400000.0
    """
    backlog_s = max(max_backlog_s, duration_s)
    spare_bits = allowed_bps * duration_s - backlog_bytes * 8 * duration_s / backlog_s
    return max(MIN_SEGMENT_BITS, spare_bits)
