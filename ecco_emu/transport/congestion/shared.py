"""GAIMD whose alpha follows what the server says about shares: mapping ``auto``.

No alpha chosen in advance gives flows their weighted shares on every queue (see docs/notes/transport.md):
throughput goes with alpha where all flows see every congestion event, with its root where losses strike
packets at random, and with RTT to the power of -1 or -2 on top. So alpha is the output of a controller here.
The server, which sees all flows, tells each what rate its weight entitles it to, what rate it got and how
far behind its entitlement it is. From that, in units of the entitled rate E per second, the rate's slope:

    1 / (2T)                        regain in T seconds what a cut to one half took; T grows for slow flows,
                                    so that about one packet in a hundred is lost to probing
    + _PROPORTIONAL * (1 - got / E) + _INTEGRAL * behind

and alpha is that slope in packets per round-trip time. It is below zero while a flow is ahead of its share.
Three more things make this hold where windows are small or losses random:

- a loss while the queue is far from full is no congestion event (``queueing``);
- a flow below its entitlement gives up less of its window in a cut;
- a window may be a fraction of a packet: the pace, not the window, then spaces packets.
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
"""Per second. With ``_INTEGRAL`` damped at 1: (1.4 / 2) ** 2 is 0.49."""
_INTEGRAL = 0.5
"""Per second squared."""
_MAX_GAIN, _MAX_YIELD = 2.0, 1.0
"""Per second: at most so many entitled rates a second are gained or given up. Giving up is slower, so that
the video that was encoded for the old rate still arrives."""
_YIELD_DOWN_TO = 0.5
"""Of its entitlement: with less, a flow that is ahead gives nothing more up."""
_MIN_CYCLE_S, _MAX_CYCLE_S = 2.0, 5.0
_PROBING_LOSS = 0.01
_LEAST_CUT = 0.2
"""A flow that has nearly nothing still takes this part of a cut."""
_MAX_INTERVAL_S = 2.0
"""One packet in this time leaves at least."""
_MAX_STEP_S = 1.0
"""Growth between acknowledgements counts at most this long: silence is not success."""
_BELIEVED_S = 3.0
"""A report that is older corrects nothing any more."""
_SLACK_PACKETS = 2


class SharedGaimd(Gaimd):
    """As ``Gaimd`` with the configured alpha until the server's first report."""

    def __init__(self, config: TransportConfig, rtt: RttEstimator) -> None:
        super().__init__(config, rtt)
        self._gain = 1.0  # the pace alone spaces packets: more than cwnd/srtt would burst small windows
        self._queue = QueueMemory()
        self._grown_s = math.inf
        self._report_s = -math.inf
        self._entitled = 0.0
        """Bytes per second; 0: nothing was reported yet."""
        self._correction = 0.0
        """Entitled rates per second."""
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
        """Packets per round-trip time, now; it may be negative."""
        if not self._entitled:
            return self.alpha
        rtt_s, entitled = self._rtt.smoothed_s, self._entitled
        slope = entitled / (2 * self._cycle_s)
        if now - self._report_s <= _BELIEVED_S:
            if self._correction >= 0:
                slope += entitled * self._correction
            elif self._may_yield():
                # what is far above its entitlement comes down in proportion to itself
                slope += max(entitled, self.window / rtt_s) * self._correction
        return slope * rtt_s * rtt_s / self._packet_bytes

    def _may_yield(self) -> bool:
        """Giving way where there is room would help nobody: others may be behind for reasons of their own,
        and all would wait for the slowest. And what was had too much is paid back with half the entitlement,
        not with all of it: video cannot wait."""
        enough = self.window / self._rtt.smoothed_s > _YIELD_DOWN_TO * self._entitled
        return enough and not self._queue.empty(self._rtt.queue_delay_s)

    def on_acked(self, size_bytes: int, sent_s: float, now: float) -> None:
        self._queue.on_acked()
        if self.window < self.ssthresh:
            self._grown_s = now
        super().on_acked(size_bytes, sent_s, now)

    def on_rtt(self, rtt_s: float, now: float) -> None:
        self._queue.on_delay(self._rtt.queue_delay_s, now)
        super().on_rtt(rtt_s, now)

    def on_lost(self, packets: int, newest_sent_s: float, now: float) -> bool:
        self._queue.on_lost(packets)
        steered = self._entitled > 0 and not self.slow_start
        if steered and not self._queue.overflowed(self._rtt.queue_delay_s):
            return False
        if not super().on_lost(packets, newest_sent_s, now):
            return False
        self._queue.answered()
        return True

    def _grow(self, size_bytes: int, used: float, sent_s: float, now: float) -> None:
        """By the time that has passed, not by what was acknowledged: a window below a packet is acknowledged
        less than once a round trip."""
        step_s = min(max(now - self._grown_s, 0.0), _MAX_STEP_S)
        self._grown_s = now
        alpha = self.effective_alpha(now)
        limited = used + (2 + alpha) * self._packet_bytes >= self.window and sent_s > self._event_until_s
        if alpha < 0 or limited:
            grown = self.window + alpha * self._packet_bytes * step_s / self._rtt.smoothed_s
            self.window = self._within(grown)
            self.ssthresh = min(self.ssthresh, self.window)  # or shrinking would begin another slow start

    def _keep(self, now: float) -> float:
        if not self._entitled or self.slow_start:
            return self.beta
        having = self.window / self._rtt.smoothed_s / self._entitled
        return 1 - (1 - self.beta) * min(1.0, max(having, _LEAST_CUT))

    def _within(self, window: float) -> float:
        least = min(self._packet_bytes * self._rtt.smoothed_s / _MAX_INTERVAL_S, self._min_window)
        return min(max(window, least), MAX_WINDOW_BYTES)
