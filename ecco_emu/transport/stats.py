"""Counters of one connection, for reports, tests and tuning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ConnectionStats:
    """Monotonic counts since the connection began; bytes are UDP payload unless named otherwise."""

    packets_sent: int = 0
    bytes_sent: int = 0
    packets_received: int = 0
    bytes_received: int = 0
    packets_acked: int = 0
    bytes_acked: int = 0
    packets_lost: int = 0
    """Packets declared lost, whether or not they arrived later."""
    bytes_lost: int = 0
    spurious: int = 0
    """Packets declared lost but acknowledged later: their contents were sent again needlessly."""
    bytes_retransmitted: int = 0
    """Application bytes sent again, on channels and in video."""
    video_bytes_sent: int = 0
    """Application bytes of video handed to the network, repeats included."""
    video_bytes_received: int = 0
    """Application bytes of video, first arrivals only."""
    video_sent: int = 0
    video_received: int = 0
    video_delivered: int = 0
    video_late: int = 0
    video_lost: int = 0
    video_unread_dropped: int = 0
    """Whole video messages dropped because the application did not take them in time."""
    cuts: int = 0
    """Window reductions by congestion."""
    outages: int = 0
    """Times the path was silent for several probe timeouts and then returned."""
    probes: int = 0
    forged: int = 0
    """Datagrams that failed authentication."""
    malformed: int = 0
    """Authentic datagrams that do not parse."""
    duplicates: int = 0
    """Packets whose number was seen before: replays, or copies made by the network."""
    rtt_samples: int = 0
    mtu_reductions: int = 0
    """Times the datagram size was lowered because the path did not carry it."""
    migrations: int = 0
    """Times the peer's address changed."""

    @property
    def loss(self) -> float:
        """Fraction declared lost, of the packets that were either acknowledged or declared lost."""
        known = self.packets_acked + self.packets_lost
        return self.packets_lost / known if known else 0.0
