"""What the sender needs of a congestion controller."""

from __future__ import annotations

from typing import Protocol

from ecco_emu.transport.share_report import ShareReport


class Controller(Protocol):
    """One direction of one connection. Sizes in bytes, times in emulated seconds; ``now`` never goes back."""

    alpha: float
    """GAIMD's increase, packets per round-trip time; what does not know alphas ignores it."""
    beta: float
    """GAIMD's fraction of the window that a cut leaves; likewise."""
    cuts: int
    """Reductions by congestion so far."""

    @property
    def window(self) -> float:
        """Bytes that are to be in flight."""

    @property
    def target_window(self) -> float:
        """Where the window is heading while it still ramps up; the window itself afterwards."""

    @property
    def ssthresh(self) -> float:
        """Slow start ends here; infinite while that is not known."""

    @property
    def slow_start(self) -> bool: ...

    @property
    def in_flight_limit(self) -> float:
        """Bytes that may be in flight at most: the window, and what lets pacing work with a small one."""

    @property
    def pacing_bytes_per_s(self) -> float: ...

    def on_sent(self, in_flight_bytes: int) -> None:
        """A packet left; ``in_flight_bytes`` counts it."""

    def on_acked(self, size_bytes: int, sent_s: float, now: float) -> None:
        """A packet sent at ``sent_s`` arrived."""

    def on_rtt(self, rtt_s: float, now: float) -> None:
        """A round-trip sample, after the estimator has taken it."""

    def on_lost(self, packets: int, newest_sent_s: float, now: float) -> bool:
        """Packets were lost, the newest of them sent at ``newest_sent_s``. True: this cut the window."""

    def on_outage(self, now: float) -> None:
        """The path was silent for several timeouts and is back."""

    def on_idle(self, idle_s: float, timeout_s: float) -> None:
        """Sending resumes after ``idle_s`` with nothing in flight."""

    def on_share(self, report: ShareReport, now: float) -> None:
        """The server says what this connection gets and should get."""
