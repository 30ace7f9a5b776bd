"""How late the event loop runs its timers: a measure of whether the host keeps up."""

from __future__ import annotations

import asyncio
import time
from collections import deque

PROBE_INTERVAL_S = 0.02
KEPT_PROBES = 200_000
"""An hour and seven minutes of probes. A longer run keeps the newest."""


class LoopLag:
    """How late the event loop runs a timer, in wall time: one probe every 20 ms."""

    def __init__(self) -> None:
        self._lags_s: deque[float] = deque(maxlen=KEPT_PROBES)

    async def run(self) -> None:
        """Probes until cancelled."""
        while True:
            # Due anew from each wake-up: probes that a long stall swallowed are not made up for.
            due = time.monotonic() + PROBE_INTERVAL_S
            await asyncio.sleep(PROBE_INTERVAL_S)
            self._lags_s.append(max(0.0, time.monotonic() - due))

    def quantile_ms(self, fraction: float) -> float:
        """The lag that ``fraction`` of the probes did not exceed, in milliseconds; 0 without a probe."""
        if not self._lags_s:
            return 0.0
        ordered = sorted(self._lags_s)
        return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] * 1e3
