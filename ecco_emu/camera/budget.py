"""The number of bits that the next segment may have, by the rate that congestion control allows."""

from __future__ import annotations

MIN_SEGMENT_BITS = 12_000.0
"""With fewer bits even a few frames of 320x192 px are unusable, so it is better that they arrive late."""
KEPT_BACKLOG_S = 0.2
"""So much of the rate should still wait to be sent when the next segment is encoded. Encoding takes time, and
the encoder misses a budget by up to a tenth. Without anything waiting, the connection would be idle
meanwhile, and a connection that is idle now and then counts as one that needs no more than it has."""
FIRST_SEGMENT_BITS = 64_000.0
"""At most so much for the first segment on a connection, and then twice as much for each."""


class Opening:
    """Bounds the first segments on a connection.

    At its beginning congestion control is in slow start: it allows many times the rate that the path turns
    out to have. A segment of a second of that rate would take several seconds to send, and be stale.
    """

    def __init__(self) -> None:
        self._most_bits = FIRST_SEGMENT_BITS

    def bounded(self, budget_bits: float) -> float:
        """The budget of the next segment."""
        bounded = min(budget_bits, self._most_bits)
        # Once a budget was below its bound, the allowed rate is one that was tried.
        self._most_bits = 2 * self._most_bits if bounded < budget_bits else float("inf")
        return bounded


def segment_budget_bits(
    *, allowed_bps: float, backlog_bytes: int, duration_s: float, max_backlog_s: float = 1.0
) -> float:
    """Bits for a segment of ``duration_s``, so that sending keeps up with the rate that transport allows.

    The encoder tracks that rate by compression alone (paper, section 3.2.2). The segment gets the whole
    allowed rate, less the rate that would bring the waiting bytes down to ``KEPT_BACKLOG_S`` within
    ``max_backlog_s``, or within the segment's own duration if that is longer.

    >>> segment_budget_bits(allowed_bps=400e3, backlog_bytes=10_000, duration_s=1.0)
    400000.0
    """
    too_many_bits = backlog_bytes * 8 - KEPT_BACKLOG_S * allowed_bps
    spare_bits = allowed_bps * duration_s - too_many_bits * duration_s / max(max_backlog_s, duration_s)
    return max(MIN_SEGMENT_BITS, spare_bits)
