"""Skips packet numbers on purpose, to detect a peer that acknowledges packets it has not received.

A receiver that acknowledges packets before they arrive, or that hides losses, makes the sender faster than
the path (RFC 9000 section 21.4, "optimistic ACK attack"). It cannot know which numbers were never sent, so an
acknowledgement of one of them proves that it lies.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence

from ecco_emu.core.errors import ProtocolError

ENTROPY_BYTES = 16
MIN_GAP, GAP_SPAN = 256, 512
"""Between two skipped numbers lie 256 to 767 packets. Each skipped number splits a range of the peer's
acknowledgements; with more of them the acknowledgements would become long."""
_REMEMBERED = 64
"""Skipped numbers that are checked. Older ones lie below every range that an honest peer still reports."""


class SkippedNumbers:
    """Chooses the numbers to skip. They are unpredictable without ``entropy``, and determined by it."""

    __slots__ = ("_count", "_entropy", "_skipped", "next")

    def __init__(self, entropy: bytes | None) -> None:
        """``entropy``: 16 random bytes that nobody else knows. None, as in simulations: no number is
        skipped."""
        self._entropy = entropy
        self._count = 0
        self._skipped: list[int] = []
        self.next = -1
        """The next number to skip; -1: there is none."""
        if entropy is not None:
            # The first may come at once, so that a short connection is tested too.
            self.next = self._gap() - MIN_GAP

    def skip(self) -> None:
        """Records that ``next`` was skipped, and chooses the number after it."""
        self._skipped.append(self.next)
        del self._skipped[:-_REMEMBERED]
        self.next += self._gap()

    def check(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Raises ``ProtocolError`` if the acknowledged ranges hold a number that was skipped."""
        skipped = self._skipped
        for start, end in ranges:
            at = bisect_left(skipped, start)
            if at < len(skipped) and skipped[at] < end:
                raise ProtocolError(f"an acknowledgement of packet {skipped[at]}, which was left out")

    def _gap(self) -> int:
        assert self._entropy is not None
        self._count += 1
        digest = hashlib.blake2b(self._count.to_bytes(8, "big"), key=self._entropy, digest_size=8).digest()
        return MIN_GAP + int.from_bytes(digest, "big") % GAP_SPAN
