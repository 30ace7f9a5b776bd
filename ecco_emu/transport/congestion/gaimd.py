"""GAIMD(alpha, beta): the window grows by ``alpha`` packets per round trip and a congestion event
leaves ``beta`` of it (paper section 3.2.2; Yang and Lam, "General AIMD congestion control", 2000).
AIMD is its special case alpha 1, beta 0.5.

With one beta for all flows, throughputs stand as the alphas do where every flow sees every congestion
event. Hence: one cut per event, however many packets it cost.
"""

from __future__ import annotations

from ecco_emu.transport.congestion.window import WindowController


def proportional_alpha_sum(rate_bps: float, rtt_s: float, queue_s: float, packet_bytes: int = 1200) -> float:
    """The sum of all flows' alphas at which shares follow the alphas well at a drop-tail bottleneck.

    4 % of what bottleneck and queue hold, in packets: enough that every flow loses something in every
    congestion event, and little enough that about one packet in 200 is lost (measured in simulation).
    ``rtt_s`` is without queueing; ``queue_s`` is how long a full queue takes to drain.
    """
    return 0.04 * rate_bps * (rtt_s + queue_s) / (8 * packet_bytes)


class Gaimd(WindowController):
    """The paper's rule. ``alpha`` and ``beta`` may be changed at any time."""

    def _grow(self, size_bytes: int, used: float, sent_s: float, now: float) -> None:
        if used + (2 + self.alpha) * self._packet_bytes >= self.window and sent_s > self._event_until_s:
            growth = self.alpha * self._packet_bytes * size_bytes / self.window
            self.window = self._within(self.window + growth)

    def _keep(self, now: float) -> float:
        return self.beta
