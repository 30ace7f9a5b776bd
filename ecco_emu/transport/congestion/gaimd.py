"""GAIMD(alpha, beta): the window grows by ``alpha`` packets per round trip, and a congestion event leaves
``beta`` of it (paper section 3.2.2; Yang and Lam, "General AIMD congestion control", 2000). AIMD is the
special case alpha 1, beta 0.5.

If all flows have the same beta and the same round-trip time, and every flow sees every congestion event,
their throughputs are proportional to their alphas. Therefore one event causes one cut, however many packets
it cost: a flow that lost more packets than another must not be cut more often.
"""

from __future__ import annotations

from ecco_emu.transport.congestion.window import WindowController


def proportional_alpha_sum(rate_bps: float, rtt_s: float, queue_s: float, packet_bytes: int = 1200) -> float:
    """The sum of all flows' alphas at which shares follow the alphas well at a drop-tail bottleneck.

    It is 4 % of the packets that the path and its full queue hold. That is enough for every flow to lose
    packets in every congestion event, and little enough to lose only about one packet in 200 (both measured
    in simulation). ``rtt_s`` excludes queueing; ``queue_s`` is the time that a full queue takes to drain.
    """
    return 0.04 * rate_bps * (rtt_s + queue_s) / (8 * packet_bytes)


class Gaimd(WindowController):
    """The paper's algorithm (section 3.2.2). ``alpha`` may change at any time."""

    def _grow(self, size_bytes: int, used: float, sent_s: float, now: float) -> None:
        # A window that was not used has not been tested, and must not grow (RFC 9002 section 7.8). The
        # tolerance of two packets and one round trip's growth covers the last growth and rounding to whole
        # packets. Nor does it grow for packets of the last congestion event.
        if used + (2 + self.alpha) * self._packet_bytes >= self.window and sent_s > self._event_until_s:
            # Each acknowledged byte adds its part, which makes alpha packets over a whole window.
            growth = self.alpha * self._packet_bytes * size_bytes / self.window
            self.window = self._within(self.window + growth)

    def _keep(self, now: float) -> float:
        return self.beta
