"""How many bits the next segment may have: what congestion control will carry while it is fresh."""

from __future__ import annotations

MIN_SEGMENT_BITS = 12_000.0
"""Below this even a few frames of 320x192 are unusable; sending them late is the better failure."""


def segment_budget_bits(
    *, allowed_bps: float, backlog_bytes: int, duration_s: float, max_backlog_s: float = 1.0
) -> float:
    """Bits for a segment of ``duration_s`` so that sending keeps up with what transport allows.

    The whole allowed rate is used, less what still waits in the send queue spread over
    ``max_backlog_s``: an empty queue means "as allowed", a full second of backlog means "the least".
    The paper (section 3.2.2): the encoder tracks the rate by compression alone.

    >>> segment_budget_bits(allowed_bps=400e3, backlog_bytes=0, duration_s=1.0)
    400000.0
    """
    spare_bits = allowed_bps * duration_s - backlog_bytes * 8 * duration_s / max_backlog_s
    return max(MIN_SEGMENT_BITS, spare_bits)
