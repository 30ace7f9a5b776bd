"""GAIMD(alpha, beta): the window grows by ``alpha`` packets per round trip and a congestion event
leaves ``beta`` of it (paper section 3.2.2; Yang and Lam, "General AIMD congestion control", 2000).

With one beta for all flows, throughputs stand as the alphas do where every flow sees every congestion
event. Hence: one cut per event, however many packets it cost. An event lasts until the queue that
overflowed has drained, so packets sent within a queue's drain time after a cut belong to it; their
loss can be noticed only a round trip later, which makes the time between cuts RTT + B/C.

No clock, no socket, no packets: bytes, times and round-trip figures come in as arguments.
"""

from __future__ import annotations

import math

_HYSTART_SAMPLES = 8
_HYSTART_MIN_S, _HYSTART_MAX_S = 0.004, 0.016
"""RFC 9406: how much a round's least delay must rise to end slow start."""
_IDLE_RESTART_S = 1.0
_MAX_WINDOW_BYTES = 64 * 1024 * 1024


def proportional_alpha_sum(rate_bps: float, rtt_s: float, queue_s: float, packet_bytes: int = 1200) -> float:
    """The sum of all flows' alphas at which shares follow the alphas well at a drop-tail bottleneck.

    4 % of what bottleneck and queue hold, in packets: enough that every flow loses something in every
    congestion event, and little enough that about one packet in 200 is lost (measured in simulation).
    ``rtt_s`` is without queueing; ``queue_s`` is how long a full queue takes to drain.
    """
    return 0.04 * rate_bps * (rtt_s + queue_s) / (8 * packet_bytes)


class Gaimd:
    """The congestion window of one direction of one connection, in bytes."""

    __slots__ = (
        "_event_until_s",
        "_last_round_rtt_s",
        "_min_window",
        "_packet_bytes",
        "_peak",
        "_previous_peak",
        "_round_end_s",
        "_round_rtt_s",
        "_round_samples",
        "alpha",
        "beta",
        "cuts",
        "initial_window",
        "ssthresh",
        "window",
    )

    def __init__(
        self,
        *,
        alpha: float,
        beta: float,
        packet_bytes: int,
        initial_packets: int = 10,
        min_packets: int = 2,
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self._packet_bytes = packet_bytes
        self._min_window = float(min_packets * packet_bytes)
        self.initial_window = float(initial_packets * packet_bytes)
        self.window = self.initial_window
        self.ssthresh = math.inf
        self.cuts = 0
        self._event_until_s = -math.inf
        self._peak = 0.0
        self._previous_peak = 0.0
        self._round_end_s = -math.inf
        self._round_rtt_s = math.inf
        self._round_samples = 0
        self._last_round_rtt_s = math.inf

    @property
    def slow_start(self) -> bool:
        return self.window < self.ssthresh

    def on_sent(self, in_flight_bytes: int) -> None:
        """A packet left; ``in_flight_bytes`` counts it."""
        if in_flight_bytes > self._peak:
            self._peak = float(in_flight_bytes)

    def on_acked(self, size_bytes: int, sent_s: float, now: float) -> None:
        """A packet sent at ``sent_s`` arrived. Grows the window, if the window is what limits sending."""
        if sent_s >= self._round_end_s:
            self._next_round(now)
        used = self._peak if self._peak > self._previous_peak else self._previous_peak
        if self.window < self.ssthresh:
            if used * 2 >= self.window:
                self.window = min(self.window + size_bytes, self.ssthresh, _MAX_WINDOW_BYTES)
        elif used + (2 + self.alpha) * self._packet_bytes >= self.window and sent_s > self._event_until_s:
            growth = self.alpha * self._packet_bytes * size_bytes / self.window
            self.window = min(self.window + growth, _MAX_WINDOW_BYTES)

    def on_rtt(self, rtt_s: float) -> None:
        """A round-trip sample: in slow start, a rising floor means a queue is building."""
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

    def on_lost(self, newest_sent_s: float, now: float, queue_delay_s: float) -> bool:
        """Packets were lost, the newest of them sent at ``newest_sent_s``. True: this cut the window."""
        if newest_sent_s <= self._event_until_s:
            return False
        self._event_until_s = now + queue_delay_s
        self.window = max(self.window * self.beta, self._min_window)
        self.ssthresh = self.window
        self.cuts += 1
        self._peak = self._previous_peak = 0.0
        return True

    def on_outage(self, now: float) -> None:
        """The path was silent for several timeouts and is back: that says nothing of congestion, but
        what is known of the path is old. Start small, return quickly to what a cut would have left."""
        self.ssthresh = max(self.window * self.beta, self.initial_window)
        self.window = min(self.window, self.initial_window)
        self._event_until_s = now
        self._forget_rounds()

    def on_idle(self, idle_s: float, timeout_s: float) -> None:
        """Sending resumes after ``idle_s`` with nothing in flight (RFC 2861, gentler: a camera pauses
        between segments): the window halves for every second or timeout, down to the initial one."""
        period_s = max(_IDLE_RESTART_S, 2 * timeout_s)
        halvings = int(idle_s / period_s)
        if halvings < 1 or self.window <= self.initial_window:
            return
        self.ssthresh = max(min(self.ssthresh, self.window), 0.75 * self.window)
        self.window = max(self.window * 0.5 ** min(halvings, 30), self.initial_window)
        self._forget_rounds()

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
