"""What each connection is entitled to, gets, and is behind: the server's side of mapping ``auto``.

The server sees every connection's bytes arrive. The *level* is the rate per unit of weight that those
get together which contend for the bottleneck; a connection is entitled to its weight times the level.
One that has nothing to send for part of the time, as it says itself, does not contend; one that stays far
behind although it is told to speed up is held back by something of its own, such as its uplink. Both stop
counting, so that the others share the rest by weight (weighted max-min fairness), until they are busy
again, or faster. Nothing else of the topology is known or needed. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecco_emu.transport.share_report import ShareReport

_LEVEL_S = 2.0
"""Time constant of the level: what all get swings with their windows."""
_RATE_PACKETS = 8
"""A connection's rate is averaged over at least this many packets."""
_MAX_BEHIND_S = 3.0
_HELD_BACK_AFTER_S = 3.0
"""Behind as far as counts, and still too slow, for this long: held back."""
_TOO_SLOW = 0.9
_CAUGHT_UP = 0.95
_RISE = 1.3
"""A held-back connection whose rate rises by this is held back no more."""
_RISEN_S, _RISE_FROM_S = 5.0, 30.0
"""Averages that a rise is seen by."""
_HEADROOM, _LEAST_PART = 1.1, 0.25
"""A held-back connection is told its own rate and a little more, or at least this part of its entitlement: it
grows in proportion to what it is told, and must find out soon when it is free again."""
_IDLE_S = 3.0
_IDLE, _BUSY = 0.15, 0.07
"""A connection without anything to send for more than the first part of the time, over ``_IDLE_S``, does not
contend until that is less than the second."""


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
    """Total so far; None: not told yet."""
    idle_share: float = 0.0
    """Of the time, smoothed."""
    idle: bool = False
    measured: bool = False

    def contends(self, level: float) -> bool:
        """Whether it counts: who is idle now and then counts too while it has more than its part."""
        return not self.held_back and (not self.idle or self.rate > self.weight * level)


class ShareMeter:
    """The accounts of all connections that have a weight."""

    def __init__(self, packet_bytes: int = 1200) -> None:
        self._accounts: dict[str, _Account] = {}
        self._packet_bytes = packet_bytes
        self._level = 0.0
        self._last_s: float | None = None

    @property
    def held_back(self) -> list[str]:
        """Connections that something of their own holds back."""
        return [name for name, account in self._accounts.items() if account.held_back]

    def set_weights(self, weights: Mapping[str, float], received_bytes: Mapping[str, int]) -> None:
        """Who shares, and how. ``received_bytes``: totals so far, of new ones at least.

        What anybody is behind is forgotten when a weight has changed: it was owed at other shares.
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
            for account in self._accounts.values():
                account.behind_s = account.slow_for_s = 0.0
                account.held_back = False

    def report(
        self, received_bytes: Mapping[str, int], now: float, idle_s: Mapping[str, float] | None = None
    ) -> dict[str, ShareReport]:
        """What to tell each connection, given the totals of bytes received from it until ``now``, and of time
        in which it had nothing to send.

        Nothing at the first call, nor while nothing arrives.
        """
        last_s, self._last_s = self._last_s, now
        step_s = now - last_s if last_s is not None else 0.0
        rates: dict[str, float] = {}
        for name, account in self._accounts.items():
            total = received_bytes[name]
            if step_s > 0:
                rates[name] = max(total - account.total_bytes, 0) / step_s
            account.total_bytes = float(total)
            if idle_s is not None and step_s > 0:
                _count_idleness(account, idle_s.get(name, 0.0), step_s)
        contending = {name: one for name, one in self._accounts.items() if one.contends(self._level)}
        weight = sum(account.weight for account in contending.values())
        level = sum(rates.get(name, 0.0) for name in contending) / weight if weight else 0.0
        if level <= 0:
            return {}
        self._level += (level - self._level) * (min(step_s / _LEVEL_S, 1.0) if self._level else 1.0)
        for name, account in self._accounts.items():
            self._count(account, rates[name], level, step_s)
            if name not in contending:
                account.behind_s = 0.0
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
        over_s = max(step_s, _RATE_PACKETS * self._packet_bytes / entitled)
        account.rate += (rate - account.rate) * step_s / over_s
        account.risen += (rate - account.risen) * min(step_s / _RISEN_S, 1.0)
        account.long += (rate - account.long) * min(step_s / _RISE_FROM_S, 1.0)
        behind_s = account.behind_s + (1 - rate / (account.weight * level)) * step_s
        account.behind_s = min(behind_s, _MAX_BEHIND_S)

    def _judge(self, step_s: float) -> None:
        """Who is held back. When that changes, the level does, and nobody is behind it yet."""
        changed = False
        for account in self._accounts.values():
            entitled = account.weight * self._level
            if account.held_back:
                if account.risen > _CAUGHT_UP * entitled or account.risen > _RISE * account.long:
                    account.held_back, account.slow_for_s, changed = False, 0.0, True
                continue
            slow = account.behind_s >= 0.99 * _MAX_BEHIND_S and account.rate < _TOO_SLOW * entitled
            account.slow_for_s = account.slow_for_s + step_s if slow else 0.0
            if account.slow_for_s > _HELD_BACK_AFTER_S:
                account.held_back, account.long, changed = True, account.risen, True
        if changed:
            for account in self._accounts.values():
                if not account.held_back:
                    account.behind_s = 0.0

    def _report(self, account: _Account) -> ShareReport:
        entitled = account.weight * self._level
        if account.held_back:
            own = min(entitled, max(_HEADROOM * account.risen, _LEAST_PART * entitled))
            return ShareReport(own, own, 0.0)
        if not account.contends(self._level):
            return ShareReport(entitled, entitled, 0.0)
        return ShareReport(entitled, account.rate, account.behind_s)


def _count_idleness(account: _Account, total_s: float, step_s: float) -> None:
    """A total that went back is a new connection's. What was before the first word does not matter."""
    before_s, account.idle_s = account.idle_s, total_s
    if before_s is None:
        return
    share = min(max(total_s - before_s, 0.0) / step_s, 1.0)
    account.idle_share += (share - account.idle_share) * min(step_s / _IDLE_S, 1.0)
    account.idle = account.idle_share > (_BUSY if account.idle else _IDLE)
