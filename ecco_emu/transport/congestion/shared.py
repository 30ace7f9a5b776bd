"""GAIMD whose alpha is set from the server's share reports: mapping ``auto``.

No alpha that is chosen in advance gives flows their weighted shares on every queue. Where all flows see every
congestion event, throughput is proportional to alpha / RTT². Where losses strike packets at random, it is
proportional to the square root of alpha, divided by RTT. docs/notes/transport.md derives both.

Here alpha is the output of a feedback controller. The server sees all flows. It reports to each the rate E
that its weight entitles it to, its achieved rate, and how far it is behind its entitlement. The slope of the
flow's rate, in units of E per second, is then

    1 / (2T)                                AIMD's growth: regains in T seconds the half that a cut took
    + _PROPORTIONAL * (1 - achieved / E)    corrects the present rate
    + _INTEGRAL * behind                    repays the debt

and alpha is that slope in packets per round-trip time. It is negative while a flow is ahead of its share. T
is longer for slow flows, so that they lose only about one packet in a hundred to probing.

Three more rules keep this working where windows are small or losses random:

- a loss while the queue is far from full is no congestion event (``queueing``);
- a flow below its entitlement gives up less of its window in a cut;
- the window may be a fraction of a packet. The pace, not the window, then spaces the packets.
"""

from __future__ import annotations

import math

from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion.gaimd import Gaimd
from ecco_emu.transport.congestion.queueing import QueueMemory
from ecco_emu.transport.congestion.window import MAX_WINDOW_BYTES
from ecco_emu.transport.rtt import RttEstimator
from ecco_emu.transport.share_report import ShareReport

_PROPORTIONAL = 1.4
"""Per second. With ``_INTEGRAL``, the loop e'' + 1.4 e' + 0.5 e = 0 is critically damped: (1.4 / 2) ** 2 is
nearly 0.5."""
_INTEGRAL = 0.5
"""Per second squared."""
_MAX_GAIN, _MAX_YIELD = 2.0, 1.0
"""Limits of the correction: at most this many entitled rates are gained or given up per second. Giving up is
slower, so that video that was encoded for the old rate still arrives."""
_YIELD_DOWN_TO = 0.5
"""A flow that is ahead gives up nothing more below this part of its entitlement."""
_MIN_CYCLE_S, _MAX_CYCLE_S = 2.0, 5.0
"""Limits of T."""
_PROBING_LOSS = 0.01
"""T is chosen so that one lost packet per T seconds is about this part of the entitled rate."""
_LEAST_CUT = 0.2
"""A flow far below its entitlement still gives up this part of a full cut."""
_MAX_INTERVAL_S = 2.0
"""The least window lets one packet leave in this time, so that a starved flow still gets feedback."""
_MAX_STEP_S = 1.0
"""Growth between two acknowledgements counts at most this much time: silence is no success."""
_BELIEVED_S = 3.0
"""A report older than this corrects nothing any more."""
_SLACK_PACKETS = 2
"""Packets that may be in flight beyond the window. With a window below one packet, nothing could leave
otherwise."""


class SharedGaimd(Gaimd):
    """Until the server's first report it behaves like ``Gaimd`` with the configured alpha."""

    def __init__(self, config: TransportConfig, rtt: RttEstimator) -> None:
        super().__init__(config, rtt)
        # The pace alone spaces packets here, so it is exactly cwnd / srtt. A faster one would let a small
        # window and its slack leave as a burst.
        self._gain = 1.0
        self._queue = QueueMemory()
        self._grown_s = math.inf
        self._report_s = -math.inf
        self._entitled = 0.0
        """Entitled rate in bytes per second; 0 before the first report."""
        self._correction = 0.0
        """In entitled rates per second."""
        self._cycle_s = _MIN_CYCLE_S

    @property
    def in_flight_limit(self) -> float:
        return self.window + _SLACK_PACKETS * self._packet_bytes

    def on_share(self, report: ShareReport, now: float) -> None:
        if report.entitled_bytes_per_s <= 0:
            return
        self._entitled = report.entitled_bytes_per_s
        got = report.achieved_bytes_per_s / self._entitled
        correction = _PROPORTIONAL * (1 - got) + _INTEGRAL * report.behind_s
        self._correction = min(max(correction, -_MAX_YIELD), _MAX_GAIN)
        cycle_s = self._packet_bytes / (_PROBING_LOSS * self._entitled)
        self._cycle_s = min(max(cycle_s, _MIN_CYCLE_S), _MAX_CYCLE_S)
        self._report_s = now

    def effective_alpha(self, now: float) -> float:
        """The present alpha, in packets per round-trip time. It may be negative."""
        if not self._entitled:
            return self.alpha
        rtt_s, entitled = self._rtt.smoothed_s, self._entitled
        slope = entitled / (2 * self._cycle_s)
        # Without fresh reports the flow goes on as plain GAIMD with the last entitlement's slope.
        if now - self._report_s <= _BELIEVED_S:
            if self._correction >= 0:
                slope += entitled * self._correction
            elif self._may_yield():
                # A rate far above the entitlement shrinks in proportion to itself, or it would take too long.
                slope += max(entitled, self.window / rtt_s) * self._correction
        # The window is rate times RTT. It grows by slope * RTT a second, and by RTT times that a round trip.
        return slope * rtt_s * rtt_s / self._packet_bytes

    def _may_yield(self) -> bool:
        """Whether a flow ahead of its share may slow down.

        Only where packets queue: on a path with room this would help nobody, because the others are behind
        for reasons of their own, and all would slow down to the slowest. And only down to half of the
        entitlement, because video cannot wait until a debt is repaid.
        """
        enough = self.window / self._rtt.smoothed_s > _YIELD_DOWN_TO * self._entitled
        return enough and not self._queue.empty(self._rtt.queue_delay_s)

    def on_acked(self, size_bytes: int, sent_s: float, now: float) -> None:
        self._queue.on_acked()
        # Slow start grows by itself. Its time must not count again at its end.
        if self.window < self.ssthresh:
            self._grown_s = now
        super().on_acked(size_bytes, sent_s, now)

    def on_rtt(self, rtt_s: float, now: float) -> None:
        self._queue.on_delay(self._rtt.queue_delay_s, now)
        super().on_rtt(rtt_s, now)

    def on_lost(self, packets: int, newest_sent_s: float, now: float) -> bool:
        self._queue.on_lost(packets)
        # In slow start, and before the first report, every loss is a congestion event, as in plain GAIMD.
        steered = self._entitled > 0 and not self.slow_start
        if steered and not self._queue.overflowed(self._rtt.queue_delay_s):
            return False
        if not super().on_lost(packets, newest_sent_s, now):
            return False
        self._queue.answered()
        return True

    def _grow(self, size_bytes: int, used: float, sent_s: float, now: float) -> None:
        """Grows by the time that has passed, not by the bytes acknowledged: with a window below one packet,
        less than one acknowledgement arrives per round trip."""
        step_s = min(max(now - self._grown_s, 0.0), _MAX_STEP_S)
        self._grown_s = now
        alpha = self.effective_alpha(now)
        limited = used + (2 + alpha) * self._packet_bytes >= self.window and sent_s > self._event_until_s
        # Shrinking needs no proof that the window was used.
        if alpha < 0 or limited:
            grown = self.window + alpha * self._packet_bytes * step_s / self._rtt.smoothed_s
            self.window = self._within(grown)
            # Otherwise a window that has shrunk below ssthresh would enter slow start again.
            self.ssthresh = min(self.ssthresh, self.window)

    def _keep(self, now: float) -> float:
        if not self._entitled or self.slow_start:
            return self.beta
        # The lower its share, the less of a cut a flow takes, so that those ahead make the room.
        having = self.window / self._rtt.smoothed_s / self._entitled
        return 1 - (1 - self.beta) * min(1.0, max(having, _LEAST_CUT))

    def _within(self, window: float) -> float:
        least = min(self._packet_bytes * self._rtt.smoothed_s / _MAX_INTERVAL_S, self._min_window)
        return min(max(window, least), MAX_WINDOW_BYTES)
