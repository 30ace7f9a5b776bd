"""Each connection's entitlement, its rate, and how far it is behind: the server's side of mapping ``auto``.
Pure.

The server sees every connection's bytes arrive. The *level* is the total rate of the connections that contend
for the bottleneck, divided by their total weight. A connection is *entitled* to its weight times the level,
so the entitlements of contending connections sum to their total arrival rate.

Two kinds of connection do not contend. A connection that has nothing to send for part of the time (it says so
itself, with IDLE) leaves its part to the others. A connection that stays far behind although it is told to
speed up is *held back* by something of its own, such as its uplink. The others share the rest by weight
(weighted max-min fairness) until such a connection is busy, or faster, again. The meter needs to know nothing
else of the topology.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecco_emu.transport.share_report import ShareReport

_LEVEL_S = 2.0
"""Time constant of the level. The total rate swings with the connections' windows; an entitlement must
not."""
_RATE_PACKETS = 8
"""A connection's rate is averaged over at least this many packets: a slow one has none in most intervals."""
_MAX_BEHIND_S = 3.0
"""A connection is never counted as further behind than this, in seconds of its entitlement: what it could not
send long ago must not let it crowd out the others for minutes."""
_HELD_BACK_AFTER_S = 3.0
"""A connection that is as far behind as counts, and still too slow, for this long is held back."""
_TOO_SLOW = 0.9
"""Fractions of its entitlement: a connection below this one is too slow …"""
_CAUGHT_UP = 0.95
"""… and a held-back connection above this one is free again. The gap keeps the two from alternating."""
_RISE = 1.3
"""A held-back connection whose rate rises by this factor is free again, however far from its entitlement."""
_RISEN_S, _RISE_FROM_S = 5.0, 30.0
"""Time constants of the two averages that are compared to see a rise: the newer and the older rate."""
_HEADROOM, _LEAST_PART = 1.1, 0.25
"""A held-back connection is told its own rate and a little more, or at least this part of its entitlement: it
grows in proportion to what it is told, and must find out soon when it is free again."""
_IDLE_S = 3.0
_IDLE, _BUSY = 0.15, 0.07
"""A connection that has nothing to send for more than the first fraction of the time, averaged over
``_IDLE_S``, does not contend until the fraction is below the second. Two thresholds, so that it does not
alternate."""


@dataclass(slots=True)
class _Account:
    """One connection's figures; rates in bytes per second."""

    weight: float
    total_bytes: float
    rate: float = 0.0
    risen: float = 0.0
    """The rate over ``_RISEN_S``."""
    long: float = 0.0
    """The rate over ``_RISE_FROM_S``."""
    behind_s: float = 0.0
    slow_for_s: float = 0.0
    held_back: bool = False
    idle_s: float | None = None
    """Total so far, as the connection reported it; None before its first report."""
    idle_share: float = 0.0
    """The fraction of the time without anything to send, smoothed over ``_IDLE_S``."""
    idle: bool = False
    measured: bool = False

    def contends(self, level: float) -> bool:
        """Whether it takes part in the level.

        An idle connection does while it gets more than its entitlement: it takes that from the others.
        """
        return not self.held_back and (not self.idle or self.rate > self.weight * level)


class ShareMeter:
    """The accounts of all connections that have a weight. Rates in bytes per second, times in emulated
    seconds."""

    def __init__(self, packet_bytes: int = 1200) -> None:
        self._accounts: dict[str, _Account] = {}
        self._packet_bytes = packet_bytes
        self._level = 0.0
        self._last_s: float | None = None

    @property
    def held_back(self) -> list[str]:
        """Names of the connections that something of their own holds back."""
        return [name for name, account in self._accounts.items() if account.held_back]

    def set_weights(self, weights: Mapping[str, float], received_bytes: Mapping[str, int]) -> None:
        """Says which connections share, and by which weights (relative, over 0).

        ``received_bytes`` holds the totals so far, at least of connections that are new. Raises
        ``ValueError`` for a weight that is not over 0.
        """
        for name in [name for name in self._accounts if name not in weights]:
            del self._accounts[name]
        changed = False
        for name, weight in weights.items():
            if not weight > 0:
                raise ValueError(f"a weight must be over 0, got {weight} for {name}")
            account = self._accounts.get(name)
            if account is None:
                self._accounts[name] = _Account(weight, received_bytes[name])
            elif account.weight != weight:
                account.weight = float(weight)
                changed = True
        if changed:
            # a connection was behind, or held back, at its old share; the new one is a new question
            for account in self._accounts.values():
                account.behind_s = account.slow_for_s = 0.0
                account.held_back = False

    def report(
        self, received_bytes: Mapping[str, int], now: float, idle_s: Mapping[str, float] | None = None
    ) -> dict[str, ShareReport]:
        """The report for each connection.

        ``received_bytes`` are totals of bytes that arrived from each until ``now``; ``idle_s`` are totals of
        the time in which each had nothing to send. Empty at the first call, and while nothing arrives.
        """
        last_s, self._last_s = self._last_s, now
        step_s = now - last_s if last_s is not None else 0.0
        rates: dict[str, float] = {}
        for name, account in self._accounts.items():
            total = received_bytes[name]
            if step_s > 0:
                # a total that went back is a new connection's under the old name: no rate, rather than a
                # negative one
                rates[name] = max(total - account.total_bytes, 0) / step_s
            account.total_bytes = float(total)
            if idle_s is not None and step_s > 0:
                _count_idleness(account, idle_s.get(name, 0.0), step_s)
        contending = {name: one for name, one in self._accounts.items() if one.contends(self._level)}
        weight = sum(account.weight for account in contending.values())
        level = sum(rates.get(name, 0.0) for name in contending) / weight if weight else 0.0
        if level <= 0:  # the first call, an outage, or nobody contends: there is nothing to compare with
            return {}
        # the first level is taken as it is, or everybody would seem far ahead of an average that begins at 0
        self._level += (level - self._level) * (min(step_s / _LEVEL_S, 1.0) if self._level else 1.0)
        for name, account in self._accounts.items():
            self._count(account, rates[name], level, step_s)
            if name not in contending:
                account.behind_s = 0.0  # it left its part to the others, so nobody owes it anything
        # What one is behind, others are ahead; noise makes the sum drift all the same. Taking off the mean by
        # weight keeps it at 0, so that no report asks all connections to speed up, or to slow down, together.
        mean = sum(account.behind_s * account.weight for account in contending.values()) / weight
        for account in contending.values():
            account.behind_s = min(max(account.behind_s - mean, -_MAX_BEHIND_S), _MAX_BEHIND_S)
        self._judge(step_s)
        return {name: self._report(account) for name, account in self._accounts.items()}

    def _count(self, account: _Account, rate: float, level: float, step_s: float) -> None:
        entitled = account.weight * self._level
        if not account.measured:
            account.rate = account.risen = account.long = rate
            account.measured = True
        # a time constant of some packets at the entitled rate: with a shorter one, a slow connection's rate
        # would jump between 0 and many times its entitlement
        over_s = max(step_s, _RATE_PACKETS * self._packet_bytes / entitled)
        account.rate += (rate - account.rate) * step_s / over_s
        account.risen += (rate - account.risen) * min(step_s / _RISEN_S, 1.0)
        account.long += (rate - account.long) * min(step_s / _RISE_FROM_S, 1.0)
        # against the newest level, not the smoothed one: when all slow down together, nobody falls behind
        behind_s = account.behind_s + (1 - rate / (account.weight * level)) * step_s
        account.behind_s = min(behind_s, _MAX_BEHIND_S)

    def _judge(self, step_s: float) -> None:
        """Finds connections that are held back, and those that are free again."""
        changed = False
        for account in self._accounts.values():
            entitled = account.weight * self._level
            if account.held_back:
                # it may never reach its entitlement, which the others have raised meanwhile; a clear rise
                # tells too
                if account.risen > _CAUGHT_UP * entitled or account.risen > _RISE * account.long:
                    account.held_back, account.slow_for_s, changed = False, 0.0, True
                continue
            # 0.99: the cap is approached, and taking off the mean moves it by a little
            slow = account.behind_s >= 0.99 * _MAX_BEHIND_S and account.rate < _TOO_SLOW * entitled
            account.slow_for_s = account.slow_for_s + step_s if slow else 0.0
            if account.slow_for_s > _HELD_BACK_AFTER_S:
                account.held_back, account.long, changed = True, account.risen, True
        if changed:
            # the level changes with the set that contends, and nobody is behind the new one yet
            for account in self._accounts.values():
                if not account.held_back:
                    account.behind_s = 0.0

    def _report(self, account: _Account) -> ShareReport:
        entitled = account.weight * self._level
        if account.held_back:
            own = min(entitled, max(_HEADROOM * account.risen, _LEAST_PART * entitled))
            return ShareReport(own, own, 0.0)
        if not account.contends(self._level):
            # as if it had exactly its entitlement: it is neither to speed up nor to slow down
            return ShareReport(entitled, entitled, 0.0)
        return ShareReport(entitled, account.rate, account.behind_s)


def _count_idleness(account: _Account, total_s: float, step_s: float) -> None:
    """Follows how much of the time a connection has nothing to send, from the totals that it reports."""
    before_s, account.idle_s = account.idle_s, total_s
    if before_s is None:  # the first total covers a time of unknown length
        return
    # a total that went back is a new connection's, and counts as none
    share = min(max(total_s - before_s, 0.0) / step_s, 1.0)
    account.idle_share += (share - account.idle_share) * min(step_s / _IDLE_S, 1.0)
    account.idle = account.idle_share > (_BUSY if account.idle else _IDLE)
