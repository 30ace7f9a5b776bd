"""The common parts of window-based controllers: slow start, congestion events, idle times and outages.

A congestion event lasts until the queue that overflowed has drained. Packets sent within the queue's drain
time after a cut therefore belong to the same event. Their loss is noticed a round trip later, so at least RTT
+ B/C passes between two cuts, for a queue of B bytes before a link of C bytes per second.
"""

from __future__ import annotations

import math
from abc import abstractmethod

from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion.controller import Controller
from ecco_emu.transport.rtt import RttEstimator

_HYSTART_SAMPLES = 8
_HYSTART_MIN_S, _HYSTART_MAX_S = 0.004, 0.016
"""RFC 9406 section 4.3: samples needed in a round, and the bounds of the rise of a round's least round-trip
time that ends slow start."""
_IDLE_RESTART_S = 1.0
"""Least idle time after which the window is halved."""
MAX_WINDOW_BYTES = 64 * 1024 * 1024
_SLOW_START_GAIN = 2.0
"""Pacing rate of slow start over window / RTT: the window doubles in a round trip."""


class WindowController(Controller):
    """A controller with a window in bytes. ``_grow`` and ``_keep`` define the algorithm."""

    def __init__(self, config: TransportConfig, rtt: RttEstimator) -> None:
        super().__init__(config, rtt)
        self._gain = config.pacing_gain
        self._min_window = float(config.min_window_packets * config.max_datagram_bytes)
        self.initial_window = self.window
        self.ssthresh = math.inf
        self._event_until_s = -math.inf
        """Packets sent up to this time belong to the last congestion event."""
        self._peak = 0.0
        """The most bytes in flight in this round trip."""
        self._previous_peak = 0.0
        self._round_end_s = -math.inf
        """The round ends with the acknowledgement of a packet sent at this time or later."""
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
        """Grows the window, if it was used."""
        if sent_s >= self._round_end_s:
            self._next_round(now)
        # Two rounds, because at the beginning of a round its own peak says nothing yet.
        used = self._peak if self._peak > self._previous_peak else self._previous_peak
        if self.window >= self.ssthresh:
            self._grow(size_bytes, used, sent_s, now)
        # Slow start doubles the window per round, so no more than half of it may have been in flight.
        elif used * 2 >= self.window:
            self.window = min(self.window + size_bytes, self.ssthresh, MAX_WINDOW_BYTES)

    def on_rtt(self, rtt_s: float, now: float) -> None:
        """Ends slow start when the least round-trip time of a round rises: a queue is building (RFC 9406,
        HyStart++, without its conservative phase)."""
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
        """Cuts the window, at most once for each congestion event."""
        if newest_sent_s <= self._event_until_s:
            return False
        # Until the queue has drained, new packets too find it full and belong to this event.
        self._event_until_s = now + self._rtt.queue_delay_s
        self.window = self._within(self.window * self._keep(now))
        self.ssthresh = self.window
        self.cuts += 1
        # The old window's peaks would make the new one look fully used.
        self._peak = self._previous_peak = 0.0
        return True

    def on_outage(self, now: float) -> None:
        """Restarts at the initial window, and lets slow start lead up to the window that a cut would have
        left.

        Silence is no sign of congestion, but the knowledge of the path is old.
        """
        self.ssthresh = self._within(self.window * self._keep(now))
        self.window = min(self.window, self.initial_window)
        self._event_until_s = now
        self._forget_rounds()

    def on_idle(self, idle_s: float, timeout_s: float) -> None:
        """Halves the window for every second of idle time (or two probe timeouts, if that is longer), down to
        the initial window.

        After RFC 2861, which halves it every retransmission timeout. A camera pauses between segments, and
        its window should survive that.
        """
        period_s = max(_IDLE_RESTART_S, 2 * timeout_s)
        halvings = int(idle_s / period_s)
        if halvings < 1 or self.window <= self.initial_window:
            return
        # RFC 2861 section 2: slow start leads back to at least three quarters of the old window.
        self.ssthresh = max(min(self.ssthresh, self.window), 0.75 * self.window)
        self.window = max(self.window * 0.5 ** min(halvings, 30), self.initial_window)
        self._forget_rounds()

    @abstractmethod
    def _grow(self, size_bytes: int, used: float, sent_s: float, now: float) -> None:
        """Congestion avoidance: a packet was acknowledged. ``used``: the most bytes that were in flight in
        this round trip and the last."""

    @abstractmethod
    def _keep(self, now: float) -> float:
        """The fraction of the window that a congestion event leaves, also after an outage."""

    def _within(self, window: float) -> float:
        """The allowed window nearest to ``window``."""
        return min(max(window, self._min_window), MAX_WINDOW_BYTES)

    def _next_round(self, now: float) -> None:
        """Begins a new round: packets sent from now on belong to it."""
        self._round_end_s = now
        self._previous_peak, self._peak = self._peak, 0.0
        if self._round_samples:
            self._last_round_rtt_s = self._round_rtt_s
        self._round_rtt_s, self._round_samples = math.inf, 0

    def _forget_rounds(self) -> None:
        self._peak = self._previous_peak = 0.0
        self._round_rtt_s = self._last_round_rtt_s = math.inf
        self._round_samples = 0
