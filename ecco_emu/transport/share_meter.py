"""Measures each connection's share at the server: its entitlement, its rate, and how far it is behind
(mapping ``auto``).

The server sees every connection's bytes arrive. The *level* is the total rate of the contending connections,
divided by the sum of their weights. A connection's *entitlement* is its weight times the level, so the
entitlements of the contending connections sum to their total arrival rate.

Two kinds of connection do not contend, so that the others share the rest of the bottleneck by weight:

- An *idle* connection had nothing to send for a part of the time (it reports that itself, in IDLE frames).
- A *held-back* connection stays far behind although its reports ask it to speed up. Something of its own
  limits it, such as its uplink.

The result is weighted max-min fairness (Bertsekas and Gallager, "Data Networks", section 6.5.2), found
without knowing the topology or any capacity. Both kinds contend again when they send more. No clock and no
socket: times and byte counts are arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecco_emu.transport.share_report import ShareReport

_LEVEL_S = 2.0
"""Time constant of the smoothed level. All rates swing with the congestion windows; this averages that
out."""
_RATE_PACKETS = 8
"""A connection's rate is averaged over at least this many packets: fewer would mostly measure chance."""
_MAX_BEHIND_S = 3.0
"""Limit of ``behind_s`` either way, so that an old debt cannot dominate a connection's speed for long."""
_HELD_BACK_AFTER_S = 3.0
"""A connection is judged held back when it has been at the limit of ``behind_s``, and too slow, for this
long."""
_TOO_SLOW = 0.9
"""Part of its entitlement below which a connection is too slow."""
_CAUGHT_UP = 0.95
"""Part of its entitlement above which a held-back connection contends again."""
_RISE = 1.3
"""A held-back connection contends again when its recent rate exceeds its long-term rate by this factor."""
_RECENT_S, _LONG_TERM_S = 5.0, 30.0
"""Time constants of the two averages that ``_RISE`` compares."""
_HEADROOM, _LEAST_PART = 2.0, 0.25
"""A held-back connection is told twice its recent rate as its entitlement, or a quarter of its real
entitlement if that is more, but never more than that. Its sender grows in proportion to the reported figure,
and the nearer its rate comes to the figure, the more of it a cut takes. So it needs this headroom to fill the
link that limits it, and to show soon that it is no longer limited."""
_IDLE_S = 3.0
"""Time constant of the idle share."""
_MOSTLY_IDLE = 0.25
"""Idle share above which nothing is concluded from a low rate: the connection has little to send."""
_IDLE, _BUSY = 0.15, 0.07
"""A connection becomes idle when its idle share exceeds the first, and busy when it falls below the second.
Two thresholds, so that a connection near one of them does not flip with every report."""


@dataclass(slots=True)
class _Account:
    """One connection's figures. Rates are in bytes per second."""

    weight: float
    total_bytes: float
    rate: float = 0.0
    """Smoothed over one report interval or the time of ``_RATE_PACKETS`` packets, whichever is longer."""
    recent_rate: float = 0.0
    """Smoothed over ``_RECENT_S``."""
    long_term_rate: float = 0.0
    """Smoothed over ``_LONG_TERM_S``."""
    behind_s: float = 0.0
    """Undelivered part of its entitlement so far, in seconds of entitlement; negative: it is ahead."""
    forgiven_s: float = 0.0
    """Debt that need not be repaid, because weights changed or the connection did not contend. It is still
    evidence that something holds the connection back."""
    slow_for_s: float = 0.0
    held_back: bool = False
    idle_s: float | None = None
    """Total time without data to send, as the peer last reported it; None before its first report."""
    idle_share: float = 0.0
    """Smoothed fraction of the time in which the peer had nothing to send."""
    idle: bool = False
    measured: bool = False

    def contends(self, level: float) -> bool:
        """Whether it counts towards the level. An idle connection does while it gets more than its
        entitlement: its rate then takes from the others, idle or not."""
        return not self.held_back and (not self.idle or self.rate > self.weight * level)


class ShareMeter:
    """The accounts of all connections that have a weight."""

    def __init__(self, packet_bytes: int = 1200) -> None:
        self._accounts: dict[str, _Account] = {}
        self._packet_bytes = packet_bytes
        self._level = 0.0
        """Smoothed, in bytes per second and unit of weight; 0 before the first measurement."""
        self._last_s: float | None = None

    @property
    def held_back(self) -> list[str]:
        """Names of the held-back connections."""
        return [name for name, account in self._accounts.items() if account.held_back]

    def set_weights(self, weights: Mapping[str, float], received_bytes: Mapping[str, int]) -> None:
        """Sets which connections share, and their weights. Connections that are not named are forgotten.

        ``received_bytes``: total bytes received so far, at least of each new connection. Raises
        ``ValueError`` for a weight that is not positive.
        """
        for name in [name for name in self._accounts if name not in weights]:
            del self._accounts[name]
        old_weight = self._contending_weight()
        changed = False
        for name, weight in weights.items():
            if not weight > 0:
                raise ValueError(f"a weight must be over 0, got {weight} for {name}")
            account = self._accounts.get(name)
            if account is None:
                # Bytes from before it had a weight count for nobody.
                self._accounts[name] = _Account(weight, received_bytes[name])
            elif account.weight != weight:
                account.weight = float(weight)
                changed = True
        if changed:
            # Rates do not change in this moment, so neither does the total that the level divides.
            new_weight = self._contending_weight()
            if old_weight and new_weight:
                self._level *= old_weight / new_weight
            for account in self._accounts.values():
                self._forgive(account)

    def _contending_weight(self) -> float:
        return sum(account.weight for account in self._accounts.values() if account.contends(self._level))

    def _forgive(self, account: _Account) -> None:
        """Strikes off a debt that was measured against an old entitlement: repaying it would pull all rates
        away from the new ones."""
        # A connection that is held back by something of its own is so under any weights. What is known of it
        # stays, and so does the evidence against one that is too slow for its new entitlement too. One that
        # has as much as it is entitled to now starts afresh.
        slow = account.rate < _TOO_SLOW * account.weight * self._level * (1 - account.idle_share)
        account.forgiven_s = max(0.0, account.forgiven_s + account.behind_s) if slow else 0.0
        account.slow_for_s = account.slow_for_s if slow else 0.0
        account.behind_s = 0.0

    def report(
        self, received_bytes: Mapping[str, int], now: float, idle_s: Mapping[str, float] | None = None
    ) -> dict[str, ShareReport]:
        """The report to send to each connection.

        ``received_bytes`` are totals up to ``now``; ``idle_s`` are the total times in which each connection
        had nothing to send. Empty at the first call, when there is no interval yet, and while nothing
        arrives.
        """
        last_s, self._last_s = self._last_s, now
        step_s = now - last_s if last_s is not None else 0.0
        rates: dict[str, float] = {}
        for name, account in self._accounts.items():
            total = received_bytes[name]
            if step_s > 0:
                # A total goes back when a camera has reconnected under its name.
                rates[name] = max(total - account.total_bytes, 0) / step_s
            account.total_bytes = float(total)
            if idle_s is not None and step_s > 0:
                _update_idleness(account, idle_s.get(name, 0.0), step_s)
        contending = {name: one for name, one in self._accounts.items() if one.contends(self._level)}
        # Where all are idle now and then, nobody is owed anything; the level still tells who is far behind.
        level = self._level_of(contending or self._not_held_back(), rates)
        if level <= 0:
            return {}
        # The first level is taken as it is: a smoothed one would start from zero and understate every
        # entitlement.
        self._level += (level - self._level) * (min(step_s / _LEVEL_S, 1.0) if self._level else 1.0)
        for name, account in self._accounts.items():
            self._update(account, rates[name], level, step_s)
            if name not in contending:
                self._owe_nothing(account, rates[name], level, step_s)
        # Weighted, the debts of the contending connections sum to zero by their definition. The limit of
        # ``_MAX_BEHIND_S`` and connections that join or leave break that, and if all were behind, all would
        # speed up at once; subtracting the weighted mean restores it.
        total_weight = sum(account.weight for account in contending.values()) or 1.0
        mean = sum(account.behind_s * account.weight for account in contending.values()) / total_weight
        for account in contending.values():
            account.behind_s = min(max(account.behind_s - mean, -_MAX_BEHIND_S), _MAX_BEHIND_S)
        self._judge_held_back(step_s)
        return {name: self._report(account) for name, account in self._accounts.items()}

    def _not_held_back(self) -> dict[str, _Account]:
        return {name: account for name, account in self._accounts.items() if not account.held_back}

    def _level_of(self, accounts: Mapping[str, _Account], rates: Mapping[str, float]) -> float:
        """Bytes per second and unit of weight, in one interval."""
        total_weight = sum(account.weight for account in accounts.values())
        return sum(rates.get(name, 0.0) for name in accounts) / total_weight if total_weight else 0.0

    def _update(self, account: _Account, rate: float, level: float, step_s: float) -> None:
        """Takes the rate of one interval into the averages and the debt."""
        entitled = account.weight * self._level
        if not account.measured:
            account.rate = account.recent_rate = account.long_term_rate = rate
            account.measured = True
        over_s = max(step_s, _RATE_PACKETS * self._packet_bytes / entitled)
        account.rate += (rate - account.rate) * step_s / over_s
        account.recent_rate += (rate - account.recent_rate) * min(step_s / _RECENT_S, 1.0)
        account.long_term_rate += (rate - account.long_term_rate) * min(step_s / _LONG_TERM_S, 1.0)
        # The debt uses this interval's level, not the smoothed one: only then do the debts sum to zero.
        behind_s = account.behind_s + (1 - rate / (account.weight * level)) * step_s
        account.behind_s = min(behind_s, _MAX_BEHIND_S)

    def _owe_nothing(self, account: _Account, rate: float, level: float, step_s: float) -> None:
        """A sender that could use its share and does not is owed nothing."""
        account.behind_s = 0.0
        if account.held_back or account.idle_share > _MOSTLY_IDLE:
            account.forgiven_s = 0.0
            return
        # Video comes in bursts, and in a growing connection a segment is sent before the next one is there.
        # But one that was idle for a fifth of the time and has less than four fifths of its share is held
        # back by more than that.
        missing_s = (1 - account.idle_share - rate / (account.weight * level)) * step_s
        account.forgiven_s = min(max(account.forgiven_s + missing_s, 0.0), _MAX_BEHIND_S)

    def _judge_held_back(self, step_s: float) -> None:
        """Decides which connections are held back. A change also changes who contends, and so the level; the
        debts of all others then start again from zero."""
        changed = False
        for account in self._accounts.values():
            entitled = account.weight * self._level
            if account.held_back:
                # Near its entitlement it contends whatever limits it. Below that, a rising rate is the only
                # sign the server has that the limit has gone.
                rising = account.recent_rate > _RISE * account.long_term_rate
                if account.recent_rate > _CAUGHT_UP * entitled or rising:
                    account.held_back, account.slow_for_s, changed = False, 0.0, True
                continue
            too_slow = account.rate < _TOO_SLOW * entitled * (1 - account.idle_share)
            if not too_slow:
                account.forgiven_s = 0.0
            # 0.99: subtracting the mean can leave a connection at its limit a little below it.
            slow = too_slow and account.behind_s + account.forgiven_s >= 0.99 * _MAX_BEHIND_S
            account.slow_for_s = account.slow_for_s + step_s if slow else 0.0
            if account.slow_for_s > _HELD_BACK_AFTER_S:
                # The rate from before the limit would hide a rise, so the long-term average starts anew.
                account.held_back, account.long_term_rate, changed = True, account.recent_rate, True
                account.forgiven_s = 0.0
        if changed:
            for account in self._accounts.values():
                if not account.held_back:
                    self._forgive(account)

    def _report(self, account: _Account) -> ShareReport:
        entitled = account.weight * self._level
        # Equal entitled and achieved rates without a debt ask the sender for no correction.
        if account.held_back:
            own = min(entitled, max(_HEADROOM * account.recent_rate, _LEAST_PART * entitled))
            return ShareReport(own, own, 0.0)
        if not account.contends(self._level):
            return ShareReport(entitled, entitled, 0.0)
        return ShareReport(entitled, account.rate, account.behind_s)


def _update_idleness(account: _Account, total_s: float, step_s: float) -> None:
    """Takes the peer's reported total idle time into its idle share."""
    before_s, account.idle_s = account.idle_s, total_s
    if before_s is None:
        # The first total covers the time before the connection had a weight.
        return
    # A total that went back belongs to a new connection under the same name.
    share = min(max(total_s - before_s, 0.0) / step_s, 1.0)
    account.idle_share += (share - account.idle_share) * min(step_s / _IDLE_S, 1.0)
    account.idle = account.idle_share > (_BUSY if account.idle else _IDLE)
