"""What a connection tells whoever watches it, packet by packet: ``qlog`` is one such watcher.

A connection without a watcher pays one ``is not None`` per packet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from ecco_emu.transport import wire

DropReason = Literal["forged", "malformed", "duplicate"]


class Metrics(NamedTuple):
    """Where loss recovery and congestion control stand. Times in seconds, amounts in bytes."""

    smoothed_rtt_s: float
    min_rtt_s: float
    latest_rtt_s: float
    rtt_variation_s: float
    window: float
    ssthresh: float
    in_flight: int
    pacing_bytes_per_s: float
    probes: int
    """Probe timeouts since the last acknowledgement."""
    cuts: int
    """Congestion events so far."""
    slow_start: bool


class Telemetry(Protocol):
    """The watcher. ``now`` is emulated seconds and never goes back. Must not raise."""

    def started(self, connection_id: bytes, now: float) -> None:
        """This side has keys; nothing was told before. Again, if a handshake had to be begun anew."""

    def packet_sent(self, number: int, datagram: bytes, now: float) -> None: ...

    def packet_received(
        self, number: int, size: int, frames: Sequence[wire.WireFrame], now: float
    ) -> None: ...

    def packet_dropped(self, size: int, reason: DropReason, now: float) -> None: ...

    def packet_lost(self, number: int, size: int, now: float) -> None: ...

    def metrics(self, metrics: Metrics, now: float) -> None:
        """Something of it has changed."""

    def closed(self, reason: str, now: float) -> None:
        """Told once, last but for a CLOSE that is sent."""


TelemetryFactory = Callable[[str, Literal["client", "server"]], Telemetry | None]
"""The watcher of a new connection, by the camera's name and this side's role."""
