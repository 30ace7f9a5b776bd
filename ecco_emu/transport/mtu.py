"""Finds how large a datagram the path carries: a small part of RFC 8899 (DPLPMTUD).

Datagrams begin at the configured size. A path that drops large datagrams while small ones pass is a black
hole (RFC 8899 section 4.3). The size then falls to ``MIN_BYTES``, and probes search upwards step by step. A
probe carries no data, and its loss does not count as congestion. Sockets are set not to fragment; a socket
that refuses a size reports the same condition at once. ICMP messages are ignored, so an attacker off the path
cannot lower the size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ecco_emu.transport.stats import ConnectionStats

MIN_BYTES = 400
"""The size that every path is assumed to carry."""
_STEPS = (512, 768, 1000, 1200, 1400, 4000, 8900, 16000, 32000)
_LOST_IN_A_ROW = 6
"""A black hole: so many large packets in a row were lost, all sent after a small one that arrived. Fewer
may be chance on a lossy path."""
_TRIES = 3
"""Probes of one size before the search rests (RFC 8899 section 5.1.2, MAX_PROBES)."""
_SEARCH_AGAIN_S = 60.0
"""RFC 8899 section 5.1.1 says 600 s. Here scenarios change links within a minute or two."""


class PathMtu:
    """The largest datagram to send (``size``), in bytes of UDP payload."""

    __slots__ = (
        "_alive_s",
        "_lost",
        "_probe_number",
        "_probe_sent_s",
        "_probing",
        "_search_s",
        "_stats",
        "_steps",
        "_tries",
        "size",
        "suspicious",
    )

    def __init__(self, max_bytes: int, stats: ConnectionStats) -> None:
        self._stats = stats
        self._steps = [step for step in _STEPS if MIN_BYTES < step < max_bytes] + [max_bytes]
        self.size = max_bytes
        self.suspicious = False
        """A large packet was lost and none has arrived since; ``on_acked`` must then be called."""
        self._alive_s = math.inf
        """When the first small packet was sent that arrived since then; infinite while there is none."""
        self._lost = 0
        """Large packets lost since then, of those sent after ``_alive_s``."""
        self._search_s = math.inf
        """When to search upwards; infinite at the full size."""
        self._probing = 0
        self._probe_number = -1
        self._probe_sent_s = -math.inf
        self._tries = 0

    @property
    def lowered(self) -> bool:
        """Whether the size is below the configured one."""
        return self.size < self._steps[-1]

    def on_acked(self, size: int, sent_s: float) -> None:
        """A packet of ``size`` bytes that was sent at ``sent_s`` arrived."""
        if self._is_large(size):
            self.suspicious = False
        else:
            self._alive_s = min(self._alive_s, sent_s)

    def on_lost(self, size: int, sent_s: float, now: float) -> None:
        """A packet of ``size`` bytes that was sent at ``sent_s`` was declared lost.

        It counts only if a small packet sent before it arrived. Otherwise the path may simply have been down.
        """
        if not self._is_large(size):
            return
        if not self.suspicious:
            self.suspicious, self._alive_s, self._lost = True, math.inf, 0
        if sent_s > self._alive_s:
            self._lost += 1
            if self._lost >= _LOST_IN_A_ROW:
                self._fall(now)

    def refused(self, size: int, now: float) -> None:
        """The socket did not take a datagram of this size."""
        if MIN_BYTES < size <= self.size:
            self._fall(now)
        elif size == self._probing:
            self._tries = _TRIES  # further probes of this size would be refused too

    def probe(self, now: float, timeout_s: float) -> int | None:
        """Returns the size to probe now, or None. The caller sends a probe and calls ``on_probe_sent``.

        ``timeout_s``: how long to wait for a probe's acknowledgement before the next.
        """
        if now < self._search_s or now < self._probe_sent_s + timeout_s:
            return None
        if self._tries >= _TRIES:
            self._tries, self._probe_number, self._search_s = 0, -1, now + _SEARCH_AGAIN_S
            return None
        self._probing = next(step for step in self._steps if step > self.size)
        return self._probing

    def on_probe_sent(self, number: int, now: float) -> None:
        self._probe_number, self._probe_sent_s = number, now
        self._tries += 1

    def on_ack(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Takes the ranges of any acknowledgement: the probe may be among them.

        Probes are not in flight for loss detection, so nobody else notices their arrival.
        """
        number = self._probe_number
        if number >= 0 and any(start <= number < end for start, end in ranges):
            self.size = self._probing
            self._tries, self._probe_number, self._probe_sent_s = 0, -1, -math.inf
            if not self.lowered:
                self._search_s = math.inf

    def _is_large(self, size: int) -> bool:
        """Whether a packet is so large that its loss may be due to its size. Half the present size, because
        data packets are seldom filled to the last byte."""
        return size > MIN_BYTES and size > self.size // 2

    def _fall(self, now: float) -> None:
        self.size = MIN_BYTES
        self._stats.mtu_reductions += 1
        self.suspicious = False
        self._search_s = now
        self._probing = 0
        self._tries, self._probe_number, self._probe_sent_s = 0, -1, -math.inf
