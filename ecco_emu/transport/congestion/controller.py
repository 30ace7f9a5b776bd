"""What the sender needs of a congestion controller."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.rtt import RttEstimator
from ecco_emu.transport.share_report import ShareReport


class Controller(ABC):
    """One direction of one connection. Sizes in bytes, times in emulated seconds; ``now`` never goes back.

    It is told of everything that happens and, unless an algorithm says otherwise, does not care.
    """

    def __init__(self, config: TransportConfig, rtt: RttEstimator) -> None:
        """``rtt``: the connection's own estimator, kept by reference."""
        self.alpha = config.alpha
        """GAIMD's increase, packets per round-trip time; what does not know alphas ignores it."""
        self.beta = config.beta
        """GAIMD's fraction of the window that a cut leaves; likewise."""
        self.cuts = 0
        """Reductions by congestion so far."""
        self.window = float(config.initial_window_packets * config.max_datagram_bytes)
        """Bytes that are to be in flight."""
        self.ssthresh = 0.0
        """Slow start ends here; infinite while that is not known."""
        self._rtt = rtt
        self._packet_bytes = config.max_datagram_bytes

    @property
    def slow_start(self) -> bool:
        return self.window < self.ssthresh

    @property
    def target_window(self) -> float:
        """Where the window is heading while it still ramps up; the window itself afterwards."""
        return self.window

    @property
    @abstractmethod
    def in_flight_limit(self) -> float:
        """Bytes that may be in flight at most: the window, and what lets pacing work with a small one."""

    @property
    @abstractmethod
    def pacing_bytes_per_s(self) -> float: ...

    def on_sent(self, in_flight_bytes: int) -> None:
        """A packet left; ``in_flight_bytes`` counts it."""
        return

    def on_acked(self, size_bytes: int, sent_s: float, now: float) -> None:
        """A packet sent at ``sent_s`` arrived."""
        return

    def on_rtt(self, rtt_s: float, now: float) -> None:
        """A round-trip sample, after the estimator has taken it."""
        return

    def on_lost(self, packets: int, newest_sent_s: float, now: float) -> bool:
        """Packets were lost, the newest of them sent at ``newest_sent_s``. True: this cut the window."""
        return False

    def on_outage(self, now: float) -> None:
        """The path was silent for several timeouts and is back."""
        return

    def on_idle(self, idle_s: float, timeout_s: float) -> None:
        """Sending resumes after ``idle_s`` with nothing in flight."""
        return

    def on_share(self, report: ShareReport, now: float) -> None:
        """The server says what this connection gets and should get."""
        return
