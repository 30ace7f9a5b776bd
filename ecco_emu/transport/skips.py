"""Packet numbers that are left out on purpose, to catch a peer that acknowledges what it cannot have.

A receiver that acknowledges packets before they arrive, or hides losses, makes the sender faster than
the path is (RFC 9000 section 21.4). It cannot know which numbers were never used; acknowledging one of them
proves it lies.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence

from ecco_emu.core.errors import ProtocolError

ENTROPY_BYTES = 16
MIN_GAP, GAP_SPAN = 256, 512
"""From one number left out to the next: 256 to 767 packets, so that acknowledgements stay short."""
_REMEMBERED = 64


class SkippedNumbers:
    """Which numbers to leave out: unpredictable to whoever lacks ``entropy``, the same for the same."""

    __slots__ = ("_count", "_entropy", "_skipped", "next")

    def __init__(self, entropy: bytes | None) -> None:
        """``entropy``: 16 random bytes that nobody else knows; None, in a simulation: none are left out."""
        self._entropy = entropy
        self._count = 0
        self._skipped: list[int] = []
        self.next = -1
        """The next number to leave out; -1: there is none."""
        if entropy is not None:
            self.next = self._gap() - MIN_GAP  # the first may come at once

    def skip(self) -> None:
        """``next`` was left out."""
        self._skipped.append(self.next)
        del self._skipped[:-_REMEMBERED]
        self.next += self._gap()

    def check(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Raises ``ProtocolError`` for an acknowledgement of a number that was left out."""
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
