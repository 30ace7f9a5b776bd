"""Decides when packets leave: congestion window, pacing, probes, packet numbers and seals.

The ``Outbox`` chooses the data in a packet. ``ReceivedPackets`` provides the acknowledgement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ecco_emu.transport import auth, wire
from ecco_emu.transport.acks import ReceivedPackets
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion import make_controller
from ecco_emu.transport.congestion.pacing import Pacer
from ecco_emu.transport.mtu import MIN_BYTES, PathMtu
from ecco_emu.transport.outbox import Content, Outbox, Parts
from ecco_emu.transport.recovery import Recovery, SentPacket
from ecco_emu.transport.rtt import RttEstimator
from ecco_emu.transport.share_report import ShareReport
from ecco_emu.transport.skips import SkippedNumbers
from ecco_emu.transport.stats import ConnectionStats
from ecco_emu.transport.telemetry import Metrics, Telemetry

_SMALL_PROBES = 2
"""From this many probe timeouts in a row on, probes are small: they pass a path that drops large packets."""
BATCH_DATAGRAMS = 64
"""One call of ``packets`` returns at most this many datagrams."""


class Sender:
    """The sending half of one connection, from its first data packet on (``begin``)."""

    def __init__(
        self,
        config: TransportConfig,
        stats: ConnectionStats,
        outbox: Outbox,
        received: ReceivedPackets,
        now: float,
        telemetry: Telemetry | None = None,
        entropy: bytes | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._skips = SkippedNumbers(entropy)
        self._config = config
        self._stats = stats
        self._outbox = outbox
        self._received = received
        rtt = RttEstimator(config.initial_rtt_s)
        self.controller = make_controller(config, rtt)
        self.recovery = Recovery(config, rtt, self.controller, stats)
        self._pacer = Pacer(config.max_datagram_bytes, now)
        self._seal: auth.Seal | None = None
        self._connection_id = b""
        self._next_number = 0
        self.mtu = PathMtu(config.max_datagram_bytes, stats)
        self._idle_s = 0.0
        self._idle_from_s: float | None = now
        """When the present time without data to send began; None while there are data."""
        self._probes = 0
        """Packets that may leave regardless of window and pace: RFC 9002 section 7.5 exempts probes, because
        a full window of lost packets would otherwise never be noticed."""

    def begin(self, connection_id: bytes, key: bytes) -> None:
        """Sets the id and the key of the packets to come, once the handshake has made them."""
        self._connection_id = connection_id
        self._seal = auth.Seal(key)

    @property
    def exhausted(self) -> bool:
        """Whether every packet number was used, so that nothing more can be sent.

        One number is kept back: ``packet`` may have to skip one.
        """
        return self._next_number >= wire.MAX_PACKET_NUMBER

    @property
    def quiet(self) -> bool:
        """Whether no packet is in flight, or about to be, that the peer will acknowledge."""
        return not self.recovery.in_flight_bytes and not self._outbox.ping_pending

    def idle_s(self, now: float) -> float:
        """The total time since the connection began in which there was nothing to send."""
        return self._idle_s + (now - self._idle_from_s if self._idle_from_s is not None else 0.0)

    def packets(self, now: float) -> list[bytes]:
        """The datagrams that may leave now, at most ``BATCH_DATAGRAMS``."""
        if self._idle_from_s is not None and self._outbox.has_data():
            self._end_idleness(now)
        video = self._outbox.video
        expiry_s = video.next_expiry_s
        if expiry_s is not None:
            if expiry_s <= now:
                self.expire_video(now)
            # While probes go unanswered the path may be down, and the rate says nothing about a deadline.
            if not self.recovery.probe_count:
                self._shed_video(now)
        datagrams: list[bytes] = []
        if self.mtu.lowered:
            self._probe_mtu(datagrams, now)
        size = self.mtu.size
        while len(datagrams) < BATCH_DATAGRAMS:
            free = self._probes > 0 or (self._window_open() and self._pacer.allows(size, now))
            datagram = self._next_packet(free, now)
            if datagram is None:
                break
            datagrams.append(datagram)
        if self._idle_from_s is None and not self._outbox.has_data():
            self._idle_from_s = now
        return datagrams

    def packet(self, parts: Sequence[bytes | memoryview], now: float) -> bytes:
        """Makes a packet of these frames: numbers, seals and counts it."""
        assert self._seal is not None
        number = self._next_number
        # A skipped number exposes a peer that acknowledges packets it has not received (``skips``).
        if number == self._skips.next:
            self._skips.skip()
            number += 1
        self._next_number = number + 1
        head = wire.HEADER.pack(wire.VERSION, wire.DATA, self._connection_id, number)
        datagram = self._seal.sign(b"".join((head, *parts)))
        self._stats.packets_sent += 1
        self._stats.bytes_sent += len(datagram)
        if self._telemetry is not None:
            self._telemetry.packet_sent(number, datagram, now)
        return datagram

    def on_ack(self, frame: wire.Ack, now: float) -> None:
        """Takes an acknowledgement. Raises ``ProtocolError`` if it names a packet that was never sent."""
        self._skips.check(frame.ranges)
        recovery, outbox = self.recovery, self._outbox
        acked, lost = recovery.on_ack(frame.ranges, frame.delay_us / 1e6, now, self._next_number)
        # An estimate: without synchronised clocks, one direction cannot be measured alone.
        one_way_s = recovery.rtt.smoothed_s / 2
        for packet in acked:
            outbox.on_acked(packet.contents, now, one_way_s)
        if self.mtu.suspicious or self.mtu.lowered:
            self.mtu.on_ack(frame.ranges)
            for packet in acked:
                self.mtu.on_acked(packet.size_bytes, packet.sent_s)
        if lost:
            self._on_lost(lost, now)
        if acked:
            self._update_pace(now)
            if self._telemetry is not None:
                self._telemetry.metrics(self._metrics(), now)

    def next_timer(self) -> float:
        """When to call ``on_timer`` or ``packets`` again: minus infinity means at once, infinity means not
        before another call has changed something."""
        due_s = math.inf
        for candidate in (
            self._received.due_s,
            self.recovery.next_timer(),
            self._outbox.video.next_expiry_s,
        ):
            if candidate is not None and candidate < due_s:
                due_s = candidate
        if self._probes:
            return -math.inf
        # With a closed window only an acknowledgement or a loss can let data go: no timer is needed for that.
        if self._window_open() and self._outbox.has_data():
            due_s = min(due_s, self._pacer.next_time(self.mtu.size, -math.inf))
        return due_s

    def answer_challenge(self, token: int) -> None:
        """Answers a PATH_CHALLENGE at once, regardless of the window: until the answer arrives, the peer
        sends its data to the old address."""
        self._outbox.path_response = token
        self._probes = max(self._probes, 1)

    def on_timer(self, now: float) -> None:
        """Declares losses, sends probes and gives up stale video, as far as they are due."""
        lost, probe = self.recovery.on_timer(now)
        if lost:
            self._on_lost(lost, now)
            self._update_pace(now)
            if self._telemetry is not None:
                self._telemetry.metrics(self._metrics(), now)
        if probe:
            # The oldest packet's data make the best probe (RFC 9002 section 6.2.4). The packet itself stays
            # in flight; if it arrives after all, the receiver ignores the bytes that it has.
            oldest = self.recovery.oldest()
            if oldest is not None:
                self._outbox.on_lost(oldest.contents, now)
            # Two at the first timeout, so that one lost probe does not cost another. Further probes go out at
            # short intervals (``max_probe_interval_s``), so that one each is enough.
            self._probes = 1 if self.recovery.probe_count > 1 else 2
        self.expire_video(now)

    def resume(self, now: float) -> None:
        """To be called before data are queued. After an idle time the controller lowers the window."""
        self._end_idleness(now)
        recovery = self.recovery
        last_sent_s = recovery.last_sent_s
        if not recovery.in_flight_bytes and last_sent_s > -math.inf and not self._outbox.has_data():
            self.controller.on_idle(now - last_sent_s, recovery.timeout_s)

    def _end_idleness(self, now: float) -> None:
        self._idle_s = self.idle_s(now)
        self._idle_from_s = None

    def expire_video(self, now: float) -> None:
        self._outbox.video.expire(now, self.recovery.timeout_s)

    def on_share(self, report: ShareReport, now: float) -> None:
        """Takes the server's report about this connection's share."""
        self.controller.on_share(report, now)
        # Before the first sample the pace would rest on the assumed round-trip time.
        if self.recovery.rtt.samples:
            self._update_pace(now)

    def on_refused(self, size: int, now: float) -> None:
        """The socket refused a datagram because of its size. Loss detection will declare it lost in time."""
        self.mtu.refused(size, now)

    def _probe_mtu(self, datagrams: list[bytes], now: float) -> None:
        """Sends a larger packet of PINGs when the path MTU search wants one. Neither loss detection nor
        congestion control counts it: its loss is no sign of congestion (RFC 8899 section 3)."""
        size = self.mtu.probe(now, self.recovery.timeout_s)
        if size is not None:
            datagrams.append(self.packet((wire.PING_FRAME * (size - wire.OVERHEAD_BYTES),), now))
            self.mtu.on_probe_sent(self._next_number - 1, now)

    def _on_lost(self, lost: Sequence[SentPacket], now: float) -> None:
        for packet in lost:
            self._outbox.on_lost(packet.contents, now)
            self.mtu.on_lost(packet.size_bytes, packet.sent_s, now)
            if self._telemetry is not None:
                self._telemetry.packet_lost(packet.number, packet.size_bytes, now)

    def _metrics(self) -> Metrics:
        rtt, controller = self.recovery.rtt, self.controller
        return Metrics(
            smoothed_rtt_s=rtt.smoothed_s,
            min_rtt_s=rtt.min_s,
            latest_rtt_s=rtt.latest_s,
            rtt_variation_s=rtt.variation_s,
            window=controller.window,
            ssthresh=controller.ssthresh,
            in_flight=self.recovery.in_flight_bytes,
            pacing_bytes_per_s=self._pacer.rate_bytes_per_s,
            probes=self.recovery.probe_count,
            cuts=self._stats.cuts,
            slow_start=controller.slow_start,
        )

    def _shed_video(self, now: float) -> None:
        """Gives up video that cannot arrive by its deadline at the rate of the target window. In the first
        slow start that rate is not known yet, so nothing is given up."""
        if self.controller.ssthresh < math.inf:
            self._outbox.video.shed(now, self.controller.target_window / self.recovery.rtt.smoothed_s)

    def _update_pace(self, now: float) -> None:
        pace = self.controller.pacing_bytes_per_s
        self._pacer.set_rate(pace, now)
        self.recovery.spacing_s = self.mtu.size / pace

    def _window_open(self) -> bool:
        return self.recovery.in_flight_bytes + self.mtu.size <= self.controller.in_flight_limit

    def _next_packet(self, free: bool, now: float) -> bytes | None:
        """The next packet, or None. With data if ``free`` (window and pace allow it) and there are data;
        otherwise only with a due acknowledgement or a report."""
        outbox, ack_s = self._outbox, self._received.due_s
        eliciting = False
        size = self.mtu.size
        if free:
            if self._probes:
                self._probes -= 1
                if self.recovery.probe_count >= _SMALL_PROBES:
                    size = MIN_BYTES
                outbox.ping_pending |= not outbox.has_data()  # a probe must ask for an acknowledgement
            eliciting = outbox.has_data()
        # A packet with data carries an acknowledgement before its time: it costs no packet of its own.
        ack_due = ack_s is not None and (eliciting or ack_s <= now)
        pending_report = outbox.pending_report
        if not (eliciting or ack_due or pending_report is not None) or self.exhausted:
            return None
        parts: Parts = []
        room = size - wire.OVERHEAD_BYTES
        if pending_report is not None:
            outbox.pending_report = None
            parts.append(pending_report)
            room -= len(pending_report)
        if ack_due:
            ack = self._received.frame(now)
            parts.append(ack)
            room -= len(ack)
        if not eliciting:
            # Nobody acknowledges such a packet, so it is not in flight and spends no tokens (RFC 9002 section
            # 2).
            return self.packet(parts, now)
        contents: list[Content] = []
        outbox.fill(parts, contents, room)
        datagram = self.packet(parts, now)
        self.recovery.on_sent(SentPacket(self._next_number - 1, now, len(datagram), contents))
        self._pacer.spend(len(datagram))
        return datagram
