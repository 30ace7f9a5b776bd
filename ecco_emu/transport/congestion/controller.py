"""The interface between the sender and a congestion controller."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.rtt import RttEstimator
from ecco_emu.transport.share_report import ShareReport


class Controller(ABC):
    """The controller of one direction of a connection.

    Sizes are in bytes, times in emulated seconds; ``now`` never goes back. The ``on_`` methods report events
    to the controller. By default they do nothing.
    """

    def __init__(self, config: TransportConfig, rtt: RttEstimator) -> None:
        """``rtt``: the connection's own estimator, kept by reference."""
        self.alpha = config.alpha
        """GAIMD's increase in packets per round trip (paper section 3.2.2); other algorithms ignore it."""
        self.beta = config.beta
        """GAIMD's fraction of the window that a cut leaves; other algorithms ignore it."""
        self.cuts = 0
        """Congestion events that have cut the window so far."""
        self.window = float(config.initial_window_packets * config.max_datagram_bytes)
        """The congestion window, in bytes."""
        self.ssthresh = 0.0
        """The window at which slow start ends; infinite before the first congestion event."""
        self._rtt = rtt
        self._packet_bytes = config.max_datagram_bytes

    @property
    def slow_start(self) -> bool:
        return self.window < self.ssthresh

    @property
    def target_window(self) -> float:
        """The window that slow start is heading for, if that is known; otherwise the window."""
        return self.window

    @property
    @abstractmethod
    def in_flight_limit(self) -> float:
        """The most bytes that may be in flight: the window, and some more where pacing controls a window of a
        few packets."""

    @property
    @abstractmethod
    def pacing_bytes_per_s(self) -> float: ...

    def on_sent(self, in_flight_bytes: int) -> None:
        """A packet left; ``in_flight_bytes`` includes it."""
        return

    def on_acked(self, size_bytes: int, sent_s: float, now: float) -> None:
        """A packet that was sent at ``sent_s`` was acknowledged."""
        return

    def on_rtt(self, rtt_s: float, now: float) -> None:
        """A round-trip sample, after the estimator has taken it."""
        return

    def on_lost(self, packets: int, newest_sent_s: float, now: float) -> bool:
        """Packets were lost, the newest of them sent at ``newest_sent_s``. Returns whether this cut the
        window."""
        return False

    def on_outage(self, now: float) -> None:
        """The path was silent for several probe timeouts and has returned."""
        return

    def on_idle(self, idle_s: float, timeout_s: float) -> None:
        """Sending resumes after ``idle_s`` seconds with nothing in flight; ``timeout_s`` is the probe
        timeout."""
        return

    def on_share(self, report: ShareReport, now: float) -> None:
        """The server's report of this connection's rate and entitlement arrived."""
        return
