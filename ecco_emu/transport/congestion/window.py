"""What window-based controllers share: slow start, congestion events, idleness, outages.

An event lasts until the queue that overflowed has drained, so packets sent within a queue's drain time
after a cut belong to it; their loss can be noticed only a round trip later, which makes the time between
cuts RTT + B/C.
"""

from __future__ import annotations

import math
from abc import abstractmethod

from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion.controller import Controller
from ecco_emu.transport.rtt import RttEstimator

_HYSTART_SAMPLES = 8
_HYSTART_MIN_S, _HYSTART_MAX_S = 0.004, 0.016
"""RFC 9406: how much a round's least delay must rise to end slow start."""
_IDLE_RESTART_S = 1.0
MAX_WINDOW_BYTES = 64 * 1024 * 1024
_SLOW_START_GAIN = 2.0


class WindowController(Controller):
    """A window in bytes. ``_grow`` and ``_keep`` make it an algorithm."""

    def __init__(self, config: TransportConfig, rtt: RttEstimator) -> None:
        super().__init__(config, rtt)
        self._gain = config.pacing_gain
        self._min_window = float(config.min_window_packets * config.max_datagram_bytes)
        self.initial_window = self.window
        self.ssthresh = math.inf
        self._event_until_s = -math.inf
        self._peak = 0.0
        self._previous_peak = 0.0
        self._round_end_s = -math.inf
        self._round_rtt_s = math.inf
        self._round_samples = 0
        self._last_round_rtt_s = math.inf

    @property
    def target_window(self) -> float:
        return self.ssthresh if self.window < self.ssthresh < math.inf else self.window

    @property
    def in_flight_limit(self) -> float:
        return self.window

    @property
    def pacing_bytes_per_s(self) -> float:
        gain = _SLOW_START_GAIN if self.window < self.ssthresh else self._gain
        return gain * self.window / self._rtt.smoothed_s

    def on_sent(self, in_flight_bytes: int) -> None:
        if in_flight_bytes > self._peak:
            self._peak = float(in_flight_bytes)

    def on_acked(self, size_bytes: int, sent_s: float, now: float) -> None:
        """Grows the window, if the window is what limits sending."""
        if sent_s >= self._round_end_s:
            self._next_round(now)
        used = self._peak if self._peak > self._previous_peak else self._previous_peak
        if self.window >= self.ssthresh:
            self._grow(size_bytes, used, sent_s, now)
        elif used * 2 >= self.window:
            self.window = min(self.window + size_bytes, self.ssthresh, MAX_WINDOW_BYTES)

    def on_rtt(self, rtt_s: float, now: float) -> None:
        """In slow start, a rising floor means a queue is building."""
        if self.window >= self.ssthresh:
            return
        self._round_samples += 1
        if rtt_s < self._round_rtt_s:
            self._round_rtt_s = rtt_s
        if self._round_samples < _HYSTART_SAMPLES or self._last_round_rtt_s == math.inf:
            return
        rise = min(max(self._last_round_rtt_s / 8, _HYSTART_MIN_S), _HYSTART_MAX_S)
        if self._round_rtt_s >= self._last_round_rtt_s + rise:
            self.ssthresh = self.window

    def on_lost(self, packets: int, newest_sent_s: float, now: float) -> bool:
        """At most one cut for each event."""
        if newest_sent_s <= self._event_until_s:
            return False
        self._event_until_s = now + self._rtt.queue_delay_s
        self.window = self._within(self.window * self._keep(now))
        self.ssthresh = self.window
        self.cuts += 1
        self._peak = self._previous_peak = 0.0
        return True

    def on_outage(self, now: float) -> None:
        """Silence says nothing of congestion, but what is known of the path is old: start small, return
        quickly to what a cut would have left."""
        self.ssthresh = self._within(self.window * self._keep(now))
        self.window = min(self.window, self.initial_window)
        self._event_until_s = now
        self._forget_rounds()

    def on_idle(self, idle_s: float, timeout_s: float) -> None:
        """RFC 2861, gentler, since a camera pauses between segments: the window halves for every second or
        two timeouts, down to the initial one."""
        period_s = max(_IDLE_RESTART_S, 2 * timeout_s)
        halvings = int(idle_s / period_s)
        if halvings < 1 or self.window <= self.initial_window:
            return
        self.ssthresh = max(min(self.ssthresh, self.window), 0.75 * self.window)
        self.window = max(self.window * 0.5 ** min(halvings, 30), self.initial_window)
        self._forget_rounds()

    @abstractmethod
    def _grow(self, size_bytes: int, used: float, sent_s: float, now: float) -> None:
        """Congestion avoidance: a packet was acknowledged. ``used``: most bytes in flight of late."""

    @abstractmethod
    def _keep(self, now: float) -> float:
        """The fraction of the window that a congestion event leaves."""

    def _within(self, window: float) -> float:
        """The nearest window that is allowed."""
        return min(max(window, self._min_window), MAX_WINDOW_BYTES)

    def _next_round(self, now: float) -> None:
        """Packets sent from now on belong to the next round trip."""
        self._round_end_s = now
        self._previous_peak, self._peak = self._peak, 0.0
        if self._round_samples:
            self._last_round_rtt_s = self._round_rtt_s
        self._round_rtt_s, self._round_samples = math.inf, 0

    def _forget_rounds(self) -> None:
        self._peak = self._previous_peak = 0.0
        self._round_rtt_s = self._last_round_rtt_s = math.inf
        self._round_samples = 0
