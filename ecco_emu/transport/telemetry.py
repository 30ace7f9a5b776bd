"""The interface through which a connection reports every packet to a watcher, such as ``qlog``.

A connection without a watcher pays one ``is not None`` per packet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from ecco_emu.transport import wire

DropReason = Literal["forged", "malformed", "duplicate"]


class Metrics(NamedTuple):
    """The state of loss recovery and congestion control. Times in seconds, amounts in bytes."""

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
        """This side has its keys. The first call of all; repeated if the handshake had to start again."""

    def packet_sent(self, number: int, datagram: bytes, now: float) -> None: ...

    def packet_received(
        self, number: int, size: int, frames: Sequence[wire.WireFrame], now: float
    ) -> None: ...

    def packet_dropped(self, size: int, reason: DropReason, now: float) -> None: ...

    def packet_lost(self, number: int, size: int, now: float) -> None: ...

    def metrics(self, metrics: Metrics, now: float) -> None:
        """Some of these figures have changed."""

    def closed(self, reason: str, now: float) -> None:
        """The connection has ended. Called once; only the sending of a CLOSE may follow."""


TelemetryFactory = Callable[[str, Literal["client", "server"]], Telemetry | None]
"""Makes the watcher of a new connection, or None, from the camera's name and this side's role."""
