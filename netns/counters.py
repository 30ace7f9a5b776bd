"""What a link carried and lost, put together from devices, qdiscs and relay. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from netns.netlink import DeviceStats, QdiscStats
from netns.relay.client import LineCounters


@dataclass(frozen=True, slots=True)
class DirectionCounters:
    """One direction since the lab was built, in Ethernet frames.

    ``bytes`` and ``packets`` arrived at the far end; ``drops`` entered but never will (queue full, lost on
    purpose, link down); ``backlog_bytes`` are waiting or under way.
    """

    bytes: int
    packets: int
    drops: int
    backlog_bytes: int


@dataclass(frozen=True, slots=True)
class LinkCounters:
    """Both directions of a link, named from its node."""

    egress: DirectionCounters
    ingress: DirectionCounters


def direction_counters(
    sender: DeviceStats,
    receiver: DeviceStats,
    qdisc: QdiscStats | None,
    line: LineCounters | None,
    drops_before: int,
) -> DirectionCounters:
    """Counters of the direction that runs from ``sender`` to ``receiver``, two devices joined by a wire,
    through ``qdisc`` (the sender's root) and the relay's ``line``, where there are such; qdiscs that
    are no longer there dropped ``drops_before``."""
    queue = qdisc or QdiscStats("", 0, 0, 0, 0)
    relay = line or LineCounters()
    return DirectionCounters(
        bytes=receiver.rx_bytes,
        packets=receiver.rx_packets,
        drops=drops_before + queue.drops + sender.tx_dropped + relay.lost + relay.dropped,
        backlog_bytes=queue.backlog_bytes + relay.backlog_bytes,
    )
