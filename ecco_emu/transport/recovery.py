"""Loss detection after RFC 9002, with probing fit for links that go down.

Packets are lost when three later ones arrived or when one that was sent 9/8 of a round trip later
did; when nothing arrives at all, probes go out, backing off to ``max_probe_interval_s`` and no
further. Retransmission is not decided here: lost packets are handed back with what they carried.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from ecco_emu.core.errors import ProtocolError
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion import Controller
from ecco_emu.transport.rtt import RttEstimator
from ecco_emu.transport.stats import ConnectionStats

PACKET_THRESHOLD = 3
TIME_THRESHOLD = 9 / 8
GRANULARITY_S = 0.001
OUTAGE_PROBES = 3
"""Unanswered probes after which returning acknowledgements mean the end of an outage."""
_MAX_LOST = 256
"""Packets declared lost that are remembered, to count those that were not."""


class SentPacket:
    """One packet in flight and what must be done again if it is lost."""

    __slots__ = ("contents", "number", "sent_s", "size_bytes")

    def __init__(self, number: int, sent_s: float, size_bytes: int, contents: Sequence[Any]) -> None:
        self.number = number
        self.sent_s = sent_s
        self.size_bytes = size_bytes
        self.contents = contents
        """The connection's own records; opaque here."""


class Recovery:
    """The packets in flight in one direction. Acknowledgement-only packets are not among them."""

    __slots__ = (
        "_config",
        "_controller",
        "_last_sent_s",
        "_loss_s",
        "_lost",
        "_sent",
        "_stats",
        "in_flight_bytes",
        "largest_acked",
        "probe_count",
        "rtt",
        "spacing_s",
    )

    def __init__(
        self, config: TransportConfig, rtt: RttEstimator, controller: Controller, stats: ConnectionStats
    ) -> None:
        self._config = config
        self._controller = controller
        self._stats = stats
        self._sent: dict[int, SentPacket] = {}
        self._loss_s: float | None = None
        self._lost: list[int] = []
        """Numbers declared lost, going up: they are declared in the order they were sent in."""
        self._last_sent_s = -math.inf
        self.in_flight_bytes = 0
        self.largest_acked = -1
        self.probe_count = 0
        """Probe timeouts since the last acknowledgement of anything new."""
        self.rtt = rtt
        self.spacing_s = 0.0
        """Time between packets at the present pace. A probe waits so much longer, since a slow sender's next
        packet does what a probe would."""

    @property
    def timeout_s(self) -> float:
        """RFC 9002's probe timeout, before backing off."""
        rtt = self.rtt
        return rtt.smoothed_s + max(4 * rtt.variation_s, GRANULARITY_S) + self._config.max_ack_delay_s

    @property
    def last_sent_s(self) -> float:
        """When the last packet that wants an acknowledgement left; -inf if none did."""
        return self._last_sent_s

    def oldest(self) -> SentPacket | None:
        return next(iter(self._sent.values()), None)

    def next_timer(self) -> float | None:
        if not self._sent:
            return None
        if self._loss_s is not None:
            return self._loss_s
        timeout_s = self.timeout_s
        backed_off_s = timeout_s * float(1 << min(self.probe_count, 16))
        cap_s = max(self._config.max_probe_interval_s, timeout_s)
        return self._last_sent_s + min(backed_off_s, cap_s) + self.spacing_s

    def on_sent(self, packet: SentPacket) -> None:
        self._sent[packet.number] = packet
        self._last_sent_s = packet.sent_s
        self.in_flight_bytes += packet.size_bytes
        self._controller.on_sent(self.in_flight_bytes)

    def on_ack(
        self, ranges: Sequence[tuple[int, int]], delay_s: float, now: float, next_number: int
    ) -> tuple[list[SentPacket], list[SentPacket]]:
        """Packets newly acknowledged and newly lost. ``ranges`` half-open, highest first.

        Raises ``ProtocolError`` for an acknowledgement of a packet that was never sent.
        """
        largest = ranges[0][1] - 1
        if largest >= next_number:
            raise ProtocolError(f"an acknowledgement of packet {largest}, which was never sent")
        acked = self._take_acked(ranges)
        if self._lost:
            self._count_spurious(ranges)
        if largest > self.largest_acked:
            self.largest_acked = largest
        if not acked:
            return acked, []
        controller, stats = self._controller, self._stats
        newest = acked[0]
        for packet in acked:
            if packet.number > newest.number:
                newest = packet
        if newest.number == largest:
            self.rtt.add(now - newest.sent_s, min(delay_s, self._config.max_ack_delay_s), now)
            stats.rtt_samples += 1
            controller.on_rtt(self.rtt.latest_s, now)
        if self.probe_count >= OUTAGE_PROBES:
            stats.outages += 1
            controller.on_outage(now)
        self.probe_count = 0
        for packet in acked:
            size = packet.size_bytes
            self.in_flight_bytes -= size
            stats.bytes_acked += size
            controller.on_acked(size, packet.sent_s, now)
        stats.packets_acked += len(acked)
        return acked, self._detect_lost(now)

    def on_timer(self, now: float) -> tuple[list[SentPacket], bool]:
        """Packets newly lost, and whether a probe is due."""
        due_s = self.next_timer()
        if due_s is None or now < due_s:
            return [], False
        if self._loss_s is not None:
            return self._detect_lost(now), False
        self.probe_count += 1
        self._stats.probes += 1
        self._last_sent_s = now  # the next interval counts from here even if the probe cannot leave
        return [], True

    def _take_acked(self, ranges: Sequence[tuple[int, int]]) -> list[SentPacket]:
        acked: list[SentPacket] = []
        sent = self._sent
        if not sent:
            return acked
        oldest = next(iter(sent))
        for start, end in ranges:
            if end <= oldest:
                break
            for number in range(start if start > oldest else oldest, end):
                packet = sent.pop(number, None)
                if packet is not None:
                    acked.append(packet)
        return acked

    def _count_spurious(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Packets that arrived although they had been declared lost."""
        lost = self._lost
        for start, end in ranges:
            low, high = bisect_left(lost, start), bisect_left(lost, end)
            if low < high:
                self._stats.spurious += high - low
                del lost[low:high]

    def _detect_lost(self, now: float) -> list[SentPacket]:
        self._loss_s = None
        lost: list[SentPacket] = []
        rtt = self.rtt
        delay_s = max(TIME_THRESHOLD * max(rtt.smoothed_s, rtt.latest_s), GRANULARITY_S)
        by_number = self.largest_acked - PACKET_THRESHOLD
        for packet in self._sent.values():  # in order of number, and so of time
            if packet.number > self.largest_acked:
                break
            if packet.number > by_number and packet.sent_s + delay_s > now:
                self._loss_s = packet.sent_s + delay_s
                break
            lost.append(packet)
        if lost:
            self._drop(lost, now)
        return lost

    def _drop(self, lost: list[SentPacket], now: float) -> None:
        stats = self._stats
        self._lost.extend(packet.number for packet in lost)
        del self._lost[:-_MAX_LOST]
        for packet in lost:
            del self._sent[packet.number]
            self.in_flight_bytes -= packet.size_bytes
            stats.bytes_lost += packet.size_bytes
        stats.packets_lost += len(lost)
        if self._controller.on_lost(len(lost), lost[-1].sent_s, now):
            stats.cuts += 1
