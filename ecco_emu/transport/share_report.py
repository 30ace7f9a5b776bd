"""The server's report to a sender about its share of the bottleneck."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShareReport:
    """One connection's share as the server measures it. Bytes are UDP payload, seconds are emulated."""

    entitled_bytes_per_s: float
    """Its weight's part of the present total rate of all contending connections."""
    achieved_bytes_per_s: float
    """The rate at which its bytes arrive."""
    behind_s: float
    """By how much its delivered bytes are behind its entitlement, divided by the entitled rate. Negative if
    it is ahead."""
