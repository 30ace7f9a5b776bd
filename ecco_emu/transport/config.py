"""The parameters of a connection, with the limits on the memory that an untrusted peer can fill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ecco_emu.core.messages import MAX_SEGMENT_BYTES, MAX_WEIGHTS_BYTES

ITEM_BYTES = 128
"""Memory charged for each held message or piece on top of its bytes. Without it, a peer could send a million
empty messages that cost nothing by the limits."""
_ENVELOPE_BYTES = 64 * 1024
"""Room for a message's own fields around the weights or the video it carries."""


@dataclass(frozen=True, slots=True)
class TransportConfig:
    """One connection's parameters. Times are emulated seconds."""

    algorithm: Literal["gaimd", "cubic", "fixed"] = "gaimd"
    """Congestion control. The last two serve as comparisons."""
    alpha: float = 1.0
    """GAIMD: packets by which the window grows per round trip, until ``set_alpha`` changes it."""
    beta: float = 0.5
    """GAIMD: the fraction of the window kept after a cut (paper section 3.2.2)."""
    follow_shares: bool = False
    """GAIMD: a controller derives alpha from the server's share reports (mapping ``auto``). Before the first
    report it is ``alpha``."""
    share_interval_s: float = 0.5
    """Server: time between two share reports to a connection that has a weight."""
    fixed_rate_bps: float = 1e6
    """``fixed``: the rate, in bits of UDP payload per second."""
    max_datagram_bytes: int = 1200
    """UDP payload of a full packet. It is also the unit of ``alpha`` and of the windows."""
    initial_window_packets: int = 10
    """RFC 9002 section 7.2."""
    min_window_packets: int = 2
    """RFC 9002 section 7.2. Mapping ``auto`` allows smaller windows (``congestion.shared``)."""
    initial_rtt_s: float = 0.1
    """Assumed until the first sample."""
    max_ack_delay_s: float = 0.025
    """Time for which a single packet's acknowledgement may wait (RFC 9000 section 18.2)."""
    ack_interval_s: float = 0.0025
    ack_packets: int = 10
    """At high rates one acknowledgement in this time, or for so many packets, is sent. At much longer
    intervals, window-limited flows send in bursts. Some of these bursts miss the moments when the queue is
    full, and the shares become wrong (tests/sim). The interval is half a millisecond shorter than the time
    between two reads of a busy socket (``adapter.port``), so that an acknowledgement is due at each read.
    A receiver whose acknowledgements share a full link with its own video sends fewer
    (``policies.steering``)."""
    max_probe_interval_s: float = 0.5
    """Limit of the doubling probe interval, so that a link that returns is noticed soon. On a path whose
    plain timeout is longer, that timeout is the limit."""
    pacing_gain: float = 1.25
    """Pacing rate in units of cwnd / srtt, except in slow start, which paces at 2 (RFC 9002 section 7.7)."""
    idle_timeout_s: float = 30.0
    """The connection ends after this long without an authentic packet from the peer."""
    keepalive_s: float | None = 10.0
    """A PING is sent after this long without a packet from the peer. None: an unused connection may time
    out."""
    handshake_timeout_s: float = 10.0
    """The client gives up connecting after this long."""
    handshake_retry_s: float = 0.25
    """First interval between attempts. It doubles up to one second."""
    channel_message_bytes: tuple[int, ...] = (
        MAX_SEGMENT_BYTES + _ENVELOPE_BYTES,
        MAX_WEIGHTS_BYTES + _ENVELOPE_BYTES,
    )
    """Largest message of each reliable channel, in order of channel number."""
    channel_window_bytes: int = 1024 * 1024
    """How many bytes a sender may send beyond those that the receiver has in order."""
    channel_unread_bytes: int = 4 * 1024 * 1024
    """Whole messages that the application has not taken. Beyond this limit the window does not move."""
    channel_queue_bytes: int = 160 * 1024 * 1024
    """Messages that wait in one sending channel. Beyond this limit ``send`` raises ``SendQueueFull``."""
    video_message_bytes: int = MAX_SEGMENT_BYTES + _ENVELOPE_BYTES
    video_backlog_bytes: int = 16 * 1024 * 1024
    """Video at the sender whose outcome is open. Beyond this limit the oldest message is given up."""
    video_messages: int = 128
    """Span of the ids of the sender's open messages. It tells the receiver which ids cannot be open any
    more."""
    video_receive_bytes: int = 32 * 1024 * 1024
    """Incomplete video messages at the receiver. Beyond this limit the oldest is freed."""
    video_unread_bytes: int = 32 * 1024 * 1024
    """Whole video messages that the application has not taken. Beyond this limit the oldest is dropped."""

    @property
    def receive_bound_bytes(self) -> int:
        """The most memory that one peer can make a connection hold, in bytes.

        For each channel: out-of-order pieces, up to twice the window; unread messages up to their limit and
        one of the largest beyond it; and empty messages worth one window, each 4 bytes on the wire and
        ``ITEM_BYTES`` here. For video: incomplete and unread messages.
        """
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
