"""Counts the packets that a link has carried and lost, from the counters of devices, qdiscs and the relay.
Pure."""

from __future__ import annotations

from dataclasses import dataclass

from netns.netlink import DeviceStats, QdiscStats
from netns.relay.client import LineCounters


@dataclass(frozen=True, slots=True)
class DirectionCounters:
    """One direction since the lab was built, in Ethernet frames.

    ``bytes`` and ``packets`` have arrived at the far end. ``drops`` is the number of packets that entered and
    will never arrive (queue full, lost on purpose, link cut). ``backlog_bytes`` are waiting or under way.
    ``marks`` is the number of packets that were marked for congestion instead of dropped (ECN, RFC 3168). It
    is always 0, since the queues of this lab drop packets and do not mark them.
    """

    bytes: int
    packets: int
    drops: int
    backlog_bytes: int
    marks: int = 0


@dataclass(frozen=True, slots=True)
class LinkCounters:
    """Both directions of a link, named from its node."""

    egress: DirectionCounters
    ingress: DirectionCounters


@dataclass(frozen=True, slots=True)
class Frames:
    """A number of frames and their bytes."""

    packets: int = 0
    bytes: int = 0


class CutLedger:
    """The frames that reached a port of the switch while it was cut. The device counts them as received, but
    the bridge has discarded them."""

    def __init__(self) -> None:
        self._before = Frames()
        """Discarded in earlier cuts, which have ended."""
        self._cut_at: Frames | None = None
        """The frames that the port had received when the present cut began."""

    def cut(self, port: DeviceStats) -> None:
        """Notes that the port was cut when its counters were ``port``."""
        self._cut_at = Frames(port.rx_packets, port.rx_bytes)

    def join(self, port: DeviceStats) -> None:
        """Notes that the port was joined again when its counters were ``port``."""
        self._before, self._cut_at = self.discarded(port), None

    def discarded(self, port: DeviceStats) -> Frames:
        """The frames that were discarded in all cuts up to now, when the port's counters are ``port``."""
        if self._cut_at is None:
            return self._before
        return Frames(
            self._before.packets + port.rx_packets - self._cut_at.packets,
            self._before.bytes + port.rx_bytes - self._cut_at.bytes,
        )


def direction_counters(
    sender: DeviceStats,
    receiver: DeviceStats,
    qdisc: QdiscStats | None,
    line: LineCounters | None,
    *,
    drops_before: int,
    discarded: Frames,
) -> DirectionCounters:
    """The counters of the direction from ``sender`` to ``receiver``, the two devices of a link.

    ``qdisc`` is the sender's root qdisc and ``line`` the relay's line; both may be missing. ``drops_before``
    were dropped by qdiscs that have been made anew since, and ``discarded`` by the receiving port while it
    was cut.
    """
    queue = qdisc or QdiscStats("", 0, 0, 0, 0, 0)
    relay = line or LineCounters()
    return DirectionCounters(
        bytes=receiver.rx_bytes - discarded.bytes,
        packets=receiver.rx_packets - discarded.packets,
        # A packet is in one of these at most: each place passes on only the packets that it does not drop.
        drops=sum(
            (drops_before, queue.drops, sender.tx_dropped, relay.lost, relay.dropped, discarded.packets)
        ),
        backlog_bytes=queue.backlog_bytes + relay.backlog_bytes,
    )
