"""What the server tells a sender about its share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShareReport:
    """Of one connection, seen from the server. Bytes are UDP payload, seconds emulated."""

    entitled_bytes_per_s: float
    """The rate its weight entitles it to, of what all connections get now."""
    achieved_bytes_per_s: float
    """The rate it gets."""
    behind_s: float
    """How far its delivered bytes are behind its entitlement, in seconds of that; negative: ahead."""
