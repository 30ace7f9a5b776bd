"""Senders that always have data, over links in virtual time. They use the transport's own controllers,
recovery, pacing, acknowledgement rules and share reports, without frames, seals and channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ecco_emu.transport.acks import ReceivedPackets
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion import make_controller
from ecco_emu.transport.congestion.pacing import Pacer
from ecco_emu.transport.recovery import Recovery, SentPacket
from ecco_emu.transport.rtt import RttEstimator
from ecco_emu.transport.share_meter import ShareMeter
from ecco_emu.transport.share_report import ShareReport
from ecco_emu.transport.simulation.links import PACKET_OVERHEAD_BYTES, SimulatedLink, VirtualTime
from ecco_emu.transport.stats import ConnectionStats

_NO_CONTENTS: Sequence[tuple[int, int]] = ()
_FULL_BYTES = 1200 + PACKET_OVERHEAD_BYTES
_SMALL_BYTES = 40 + PACKET_OVERHEAD_BYTES
"""An acknowledgement or a share report, with headers."""


class BulkFlow:
    """A sender and its receiver. Packets cross the one or two links of ``path`` in order; acknowledgements
    return over ``back``."""

    def __init__(
        self,
        time: VirtualTime,
        config: TransportConfig,
        path: Sequence[SimulatedLink],
        back: SimulatedLink,
        *,
        start_s: float = 0.0,
    ) -> None:
        if not 1 <= len(path) <= 2:
            raise ValueError(f"a flow takes one link or two, not {len(path)}")
        self.stats = ConnectionStats()
        self.received_bytes = 0
        self._time = time
        self._first, self._last = path[0], path[-1]
        self._back = back
        self._size = config.max_datagram_bytes
        rtt = RttEstimator(config.initial_rtt_s)
        self.controller = make_controller(config, rtt)
        self.recovery = Recovery(config, rtt, self.controller, self.stats)
        self._pacer = Pacer(config.max_datagram_bytes, start_s)
        self._next_number = 0
        self._probes = 0
        self._armed_s = math.inf
        """When the sender has something to do."""
        self._wakes_s = math.inf
        """When the next scheduled call comes: never after ``_armed_s``, but perhaps before it.
        ``VirtualTime`` cannot cancel calls, so an early one is left to arm the timer again."""
        self._received = ReceivedPackets(config.max_ack_delay_s, start_s)
        self._ack_armed_s = math.inf
        time.at(start_s, self.pump)

    def on_share(self, report: ShareReport) -> None:
        """A share report reaches the sender."""
        self.controller.on_share(report, self._time.now)
        if self.recovery.rtt.samples:
            self._update_pace()

    def pump(self) -> None:
        """Sends the packets that may leave, and arms the timer."""
        now, size = self._time.now, self._size
        recovery, controller, pacer = self.recovery, self.controller, self._pacer
        while True:
            if self._probes:
                self._probes -= 1
            elif recovery.in_flight_bytes + size > controller.in_flight_limit or not pacer.allows(size, now):
                break
            recovery.on_sent(SentPacket(self._next_number, now, size, _NO_CONTENTS))
            pacer.spend(size)
            self._send(self._next_number)
            self._next_number += 1
        self._arm()

    def _send(self, number: int) -> None:
        self.stats.packets_sent += 1
        size = self._size + PACKET_OVERHEAD_BYTES
        if self._first is self._last:
            self._last.send(size, 0.0, self._arrive, number)
        else:
            self._first.send(size, 0.0, self._last.send, size, 0.0, self._arrive, number)

    def _arm(self) -> None:
        due_s = self.recovery.next_timer()
        due_s = math.inf if due_s is None else due_s
        if self.recovery.in_flight_bytes + self._size <= self.controller.in_flight_limit:
            due_s = min(due_s, self._pacer.next_time(self._size, -math.inf))
        self._armed_s = max(due_s, self._time.now)
        if self._armed_s < self._wakes_s:
            self._wakes_s = self._armed_s
            self._time.at(self._wakes_s, self._on_time)

    def _on_time(self) -> None:
        now = self._time.now
        if now < self._wakes_s:
            return  # an earlier call was scheduled after this one, and has done its work
        self._wakes_s = math.inf
        if now < self._armed_s:
            self._arm()
            return
        lost, probe = self.recovery.on_timer(now)
        if probe:
            self._probes = 1 if self.recovery.probe_count > 1 else 2
        if lost:
            self._update_pace()
        self.pump()

    def _update_pace(self) -> None:
        pace = self.controller.pacing_bytes_per_s
        self._pacer.set_rate(pace, self._time.now)
        self.recovery.spacing_s = self._size / pace

    def _arrive(self, number: int) -> None:
        now, received = self._time.now, self._received
        self.received_bytes += self._size
        received.note(number, True, now)
        due_s = received.due_s
        if due_s is None:
            return
        if due_s <= now:
            self._acknowledge()
        elif due_s < self._ack_armed_s:
            self._ack_armed_s = due_s
            self._time.at(due_s, self._on_ack_time)

    def _on_ack_time(self) -> None:
        self._ack_armed_s = math.inf
        due_s = self._received.due_s
        if due_s is None:
            return
        if due_s <= self._time.now:
            self._acknowledge()
        else:
            self._ack_armed_s = due_s
            self._time.at(due_s, self._on_ack_time)

    def _acknowledge(self) -> None:
        now = self._time.now
        ranges, delay_us = self._received.take(now)
        self.answer(self._on_ack, ranges, delay_us / 1e6)

    def answer(self, deliver: Callable[..., None], *arguments: Any) -> None:
        """Sends a small packet from the receiver to the sender, which calls ``deliver`` on arrival."""
        self._back.send(_SMALL_BYTES, 0.0, deliver, *arguments)

    def _on_ack(self, ranges: Sequence[tuple[int, int]], delay_s: float) -> None:
        acked, _ = self.recovery.on_ack(ranges, delay_s, self._time.now, self._next_number)
        if acked:
            self._update_pace()
        self.pump()


class ShareReporter:
    """The server's share reports to bulk flows, each over the flow's own return link."""

    def __init__(
        self,
        time: VirtualTime,
        flows: Mapping[str, BulkFlow],
        weights: Mapping[str, float],
        interval_s: float = 0.5,
    ) -> None:
        self.meter = ShareMeter()
        self._time = time
        self._flows = flows
        self._interval_s = interval_s
        self.set_weights(weights)
        self._tick()

    def set_weights(self, weights: Mapping[str, float]) -> None:
        self.meter.set_weights(weights, self._received())

    def _received(self) -> dict[str, int]:
        return {name: flow.received_bytes for name, flow in self._flows.items()}

    def _tick(self) -> None:
        now = self._time.now
        for name, report in self.meter.report(self._received(), now).items():
            flow = self._flows[name]
            flow.answer(flow.on_share, report)
        self._time.at(now + self._interval_s, self._tick)


class CrossTraffic:
    """Foreign traffic on a link: packets at a constant rate without congestion control, between two times."""

    def __init__(
        self,
        time: VirtualTime,
        link: SimulatedLink,
        *,
        rate_bps: float,
        from_s: float,
        until_s: float,
        size: int = _FULL_BYTES,
    ) -> None:
        self._time, self._link, self._until_s, self._size = time, link, until_s, size
        self._interval_s = size * 8 / rate_bps
        time.at(from_s, self._send)

    def _send(self) -> None:
        if self._time.now >= self._until_s:
            return
        self._link.send(self._size, 0.0, _ignore)
        self._time.at(self._time.now + self._interval_s, self._send)


def _ignore() -> None:
    """The receiver of cross traffic."""
