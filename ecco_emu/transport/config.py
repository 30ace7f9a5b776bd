"""What may be tuned about a connection, with the limits that keep an untrusted peer bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ecco_emu.core.messages import MAX_SEGMENT_BYTES, MAX_WEIGHTS_BYTES

ITEM_BYTES = 128
"""What a message or a piece that is held costs beside its bytes: a peer may send a million empty ones."""
_ENVELOPE_BYTES = 64 * 1024
"""Room for a message's own fields around the weights or the video it carries."""


@dataclass(frozen=True, slots=True)
class TransportConfig:
    """One connection's parameters. Times are emulated seconds."""

    algorithm: Literal["gaimd", "cubic", "fixed"] = "gaimd"
    """Congestion control; the last two are there to compare with."""
    alpha: float = 1.0
    """GAIMD: packets the window grows by per round trip, until ``set_alpha``."""
    beta: float = 0.5
    """GAIMD: the fraction of the window kept after a cut (paper section 3.2.2)."""
    follow_shares: bool = False
    """GAIMD: alpha follows what the server reports about shares (mapping ``auto``); before its first report
    it is ``alpha``."""
    share_interval_s: float = 0.5
    """Server: time between two reports to a connection that was given a weight."""
    fixed_rate_bps: float = 1e6
    """``fixed``: the rate, in bits of UDP payload per second."""
    max_datagram_bytes: int = 1200
    """UDP payload of a full packet; also the unit of ``alpha``."""
    initial_window_packets: int = 10
    min_window_packets: int = 2
    initial_rtt_s: float = 0.1
    """Assumed until the first sample."""
    max_ack_delay_s: float = 0.025
    max_probe_interval_s: float = 0.5
    """Probing never backs off further than this (or one plain timeout, when the path is slower), so
    that a link that comes back is noticed at once."""
    pacing_gain: float = 1.25
    """Sending rate over cwnd / srtt; slow start paces at 2."""
    idle_timeout_s: float = 30.0
    """Silence after which the connection is given up."""
    keepalive_s: float | None = 10.0
    """Ping after this long without hearing from the peer; ``None``: an unused connection may die."""
    handshake_timeout_s: float = 10.0
    handshake_retry_s: float = 0.25
    """First interval between attempts; doubles up to one second."""
    channel_message_bytes: tuple[int, ...] = (
        MAX_SEGMENT_BYTES + _ENVELOPE_BYTES,
        MAX_WEIGHTS_BYTES + _ENVELOPE_BYTES,
    )
    """Largest message of each reliable channel, in order of channel number."""
    channel_window_bytes: int = 1024 * 1024
    """How far a sender may run ahead of what the receiver has in order."""
    channel_unread_bytes: int = 4 * 1024 * 1024
    """Whole messages the application has not taken; beyond this the window stays shut."""
    channel_queue_bytes: int = 160 * 1024 * 1024
    """Messages waiting in one sending channel; more is ``SendQueueFull``."""
    video_message_bytes: int = MAX_SEGMENT_BYTES + _ENVELOPE_BYTES
    video_backlog_bytes: int = 16 * 1024 * 1024
    """Undecided video at the sender; beyond this the oldest message is given up."""
    video_messages: int = 128
    """Undecided video messages at the sender, by the span of their ids."""
    video_receive_bytes: int = 32 * 1024 * 1024
    """Partial video at the receiver; beyond this the oldest partial message is freed."""
    video_unread_bytes: int = 32 * 1024 * 1024
    """Whole video messages the application has not taken; beyond this the oldest is dropped."""

    @property
    def receive_bound_bytes(self) -> int:
        """The most that one peer can make a connection hold. Of each channel: pieces that came early, twice
        the window; unread messages up to their limit, one of the largest on top, and empty ones (4 bytes on
        the wire, ``ITEM_BYTES`` here) for the rest of the window. Of video: partial and unread."""
        messages = sum(self.channel_message_bytes)
        early = (2 + 1 + ITEM_BYTES // 4) * self.channel_window_bytes + ITEM_BYTES + self.max_datagram_bytes
        channels = messages + len(self.channel_message_bytes) * (self.channel_unread_bytes + early)
        partial = max(self.video_receive_bytes, self.video_message_bytes)
        return channels + partial + self.video_unread_bytes

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1000:
            raise ValueError(f"alpha must be in (0, 1000], got {self.alpha}")
        if not 0 < self.beta < 1:
            raise ValueError(f"beta must be in (0, 1), got {self.beta}")
        if not self.fixed_rate_bps > 0:
            raise ValueError(f"fixed_rate_bps must be over 0, got {self.fixed_rate_bps}")
        if not 0.05 <= self.share_interval_s <= 10:
            raise ValueError(f"share_interval_s must be in [0.05, 10], got {self.share_interval_s}")
        if not 400 <= self.max_datagram_bytes <= 65000:
            raise ValueError(f"max_datagram_bytes must be in [400, 65000], got {self.max_datagram_bytes}")
        if not 1 <= len(self.channel_message_bytes) <= 16:
            raise ValueError("a connection has 1 to 16 reliable channels")
        if self.channel_window_bytes < 16 * self.max_datagram_bytes:
            raise ValueError("channel_window_bytes must hold at least 16 packets")
        if not 1 <= self.min_window_packets <= self.initial_window_packets:
            raise ValueError("the initial window must be at least the smallest one")
