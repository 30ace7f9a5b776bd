"""What a link carried and lost, put together from devices, qdiscs and relay. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from netns.netlink import DeviceStats, QdiscStats
from netns.relay.client import LineCounters


@dataclass(frozen=True, slots=True)
class DirectionCounters:
    """One direction since the lab was built, in Ethernet frames.

    ``bytes`` and ``packets`` arrived at the far end; ``drops`` entered but never will (queue full, lost on
    purpose, link cut); ``backlog_bytes`` are waiting or under way. ``marks`` were marked as having met
    congestion (ECN) instead of being dropped: none here, since a queue of this lab drops what does not fit.
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
    """Frames that reached the switch's port while it was cut: the device counts them as received, but
    they went no further."""

    def __init__(self) -> None:
        self._before = Frames()
        self._cut_at: Frames | None = None

    @property
    def is_cut(self) -> bool:
        return self._cut_at is not None

    def cut(self, port: DeviceStats) -> None:
        """The port was cut when it had counted ``port``."""
        self._cut_at = Frames(port.rx_packets, port.rx_bytes)

    def join(self, port: DeviceStats) -> None:
        """The port was joined again."""
        self._before, self._cut_at = self.discarded(port), None

    def discarded(self, port: DeviceStats) -> Frames:
        """What went no further, up to now."""
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
    """Counters of the direction that runs from ``sender`` to ``receiver``, two devices joined by a wire,
    through ``qdisc`` (the sender's root) and the relay's ``line``, where there are such; qdiscs that
    are no longer there dropped ``drops_before``, and the receiving port ``discarded`` what it got."""
    queue = qdisc or QdiscStats("", 0, 0, 0, 0, 0)
    relay = line or LineCounters()
    return DirectionCounters(
        bytes=receiver.rx_bytes - discarded.bytes,
        packets=receiver.rx_packets - discarded.packets,
        drops=sum(
            (drops_before, queue.drops, sender.tx_dropped, relay.lost, relay.dropped, discarded.packets)
        ),
        backlog_bytes=queue.backlog_bytes + relay.backlog_bytes,
    )
