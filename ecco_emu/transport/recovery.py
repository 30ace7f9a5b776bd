"""Loss detection after RFC 9002 section 6, with probing suited to links that go down.

A packet is declared lost when a packet sent three or more numbers later was acknowledged, or when any later
packet was acknowledged and 9/8 of a round trip has passed since it was sent. When no acknowledgement arrives
at all, probes go out. Their interval doubles up to ``max_probe_interval_s`` and no further. Retransmission is
not decided here: lost packets are returned with the record of their contents.
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
"""RFC 9002 section 6.1.1."""
TIME_THRESHOLD = 9 / 8
"""RFC 9002 section 6.1.2, in round-trip times."""
GRANULARITY_S = 0.001
"""RFC 9002 section 6.1.2: timers are assumed to be no finer than this."""
OUTAGE_PROBES = 3
"""From this many unanswered probes on, the next acknowledgement counts as the end of an outage."""
_MAX_LOST = 256
"""This many of the packets declared lost are remembered, to count those that arrive after all."""


class SentPacket:
    """One packet in flight, with the record of its contents for retransmission."""

    __slots__ = ("contents", "number", "sent_s", "size_bytes")

    def __init__(self, number: int, sent_s: float, size_bytes: int, contents: Sequence[Any]) -> None:
        self.number = number
        self.sent_s = sent_s
        self.size_bytes = size_bytes
        self.contents = contents
        """The outbox's records of the frames; opaque here."""


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
        """When the oldest packet in flight becomes lost by time; None while no later one was acknowledged."""
        self._lost: list[int] = []
        """Numbers declared lost, ascending, because packets are declared lost in the order of sending."""
        self._last_sent_s = -math.inf
        self.in_flight_bytes = 0
        self.largest_acked = -1
        self.probe_count = 0
        """Probe timeouts since the last acknowledgement of anything new."""
        self.rtt = rtt
        self.spacing_s = 0.0
        """Time between packets at the present pace. Probe timeouts are longer by this: a slow sender's next
        data packet tests the path as well as a probe does."""

    @property
    def timeout_s(self) -> float:
        """The probe timeout before backoff (RFC 9002 section 6.2.1)."""
        rtt = self.rtt
        return rtt.smoothed_s + max(4 * rtt.variation_s, GRANULARITY_S) + self._config.max_ack_delay_s

    @property
    def last_sent_s(self) -> float:
        """When the last ack-eliciting packet left; -inf if none did."""
        return self._last_sent_s

    def oldest(self) -> SentPacket | None:
        return next(iter(self._sent.values()), None)

    def next_timer(self) -> float | None:
        """When ``on_timer`` is due; None while nothing is in flight."""
        if not self._sent:
            return None
        # The loss timer comes before the probe timer (RFC 9002 section 6.2.1).
        if self._loss_s is not None:
            return self._loss_s
        timeout_s = self.timeout_s
        backed_off_s = timeout_s * float(1 << min(self.probe_count, 16))
        # The RFC doubles without a limit. Here links go down for seconds by scenario, and the interval
        # decides how soon their return is noticed. On a path slower than the limit, one plain timeout is the
        # least.
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
        """Returns the packets newly acknowledged and those newly lost.

        ``ranges`` are half-open ranges of packet numbers, highest first; ``delay_s`` is the peer's reported
        acknowledgement delay; ``next_number`` is the next number that this side will use. Raises
        ``ProtocolError`` for an acknowledgement of a packet that was never sent.
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
        # Only the largest acknowledged packet gives a sample: the reported delay is that packet's (RFC 9002
        # section 5.1). A larger delay than agreed is not believed, so that a peer cannot hide queueing behind
        # it.
        if newest.number == largest:
            self.rtt.add(now - newest.sent_s, min(delay_s, self._config.max_ack_delay_s), now)
            stats.rtt_samples += 1
            controller.on_rtt(self.rtt.latest_s, now)
        # Before the packets are counted, so that they grow the window that the outage has left.
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
        """Returns the packets newly lost, and whether a probe is due."""
        due_s = self.next_timer()
        if due_s is None or now < due_s:
            return [], False
        if self._loss_s is not None:
            return self._detect_lost(now), False
        self.probe_count += 1
        self._stats.probes += 1
        # The next interval begins now even if the probe cannot leave, or the timer would fire again at once.
        self._last_sent_s = now
        return [], True

    def _take_acked(self, ranges: Sequence[tuple[int, int]]) -> list[SentPacket]:
        """Removes and returns the acknowledged packets in flight."""
        acked: list[SentPacket] = []
        sent = self._sent
        if not sent:
            return acked
        oldest = next(iter(sent))
        for start, end in ranges:
            # Every ACK repeats old ranges. Below the oldest packet in flight there is nothing left to find.
            if end <= oldest:
                break
            for number in range(start if start > oldest else oldest, end):
                packet = sent.pop(number, None)
                if packet is not None:
                    acked.append(packet)
        return acked

    def _count_spurious(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Counts the acknowledged packets that had been declared lost."""
        lost = self._lost
        for start, end in ranges:
            low, high = bisect_left(lost, start), bisect_left(lost, end)
            if low < high:
                self._stats.spurious += high - low
                del lost[low:high]

    def _detect_lost(self, now: float) -> list[SentPacket]:
        """Removes and returns the packets that are lost by number or by time, and arms the loss timer for the
        next one (RFC 9002 section 6.1)."""
        self._loss_s = None
        lost: list[SentPacket] = []
        rtt = self.rtt
        delay_s = max(TIME_THRESHOLD * max(rtt.smoothed_s, rtt.latest_s), GRANULARITY_S)
        by_number = self.largest_acked - PACKET_THRESHOLD
        # The packets stand in order of number, and so of time: behind the first that is not lost, none is.
        for packet in self._sent.values():
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
        # One call for all of them, as one congestion event is cut for once.
        if self._controller.on_lost(len(lost), lost[-1].sent_s, now):
            stats.cuts += 1
