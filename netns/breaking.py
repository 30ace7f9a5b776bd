"""The causes for which parts of a lab are broken: a link stays cut as long as one cause holds it. Pure
bookkeeping.

A cause is any hashable value. It must be the same value when something is broken and when it is mended. So
two faults may overlap, and the end of one does not end the other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

BY_HAND = "by hand"
"""The cause of a cut by ``Link.down``."""


class Causes(Generic[K]):
    """The things that are held broken, each with its causes."""

    def __init__(self) -> None:
        self._held: dict[K, set[Hashable]] = {}

    def hold(self, keys: Iterable[K], cause: Hashable) -> list[K]:
        """Holds ``keys`` for ``cause``. Returns those that no cause held before: only they must now be
        broken."""
        new = [key for key in keys if key not in self._held]
        for key in keys:
            self._held.setdefault(key, set()).add(cause)
        return new

    def release(self, keys: Iterable[K], cause: Hashable) -> list[K]:
        """Takes ``cause`` away from ``keys``. Returns those that no cause holds any more: only they must be
        mended."""
        freed = []
        for key in keys:
            causes = self._held.get(key)
            if causes is None:  # ``free`` has mended it before its fault ended
                continue
            causes.discard(cause)
            if not causes:
                del self._held[key]
                freed.append(key)
        return freed

    def free(self, key: K) -> bool:
        """Takes every cause away from ``key``. True if there was one."""
        return self._held.pop(key, None) is not None


@dataclass(slots=True)
class Layers:
    """Limits on a rate, by their causes. The lowest of the limits and the rate itself counts."""

    limits: dict[Hashable, float]

    def effective(self, rate_bps: float | None) -> float | None:
        """The rate that results from ``rate_bps`` and the limits. None means unlimited, for both."""
        rates = [*self.limits.values(), *([] if rate_bps is None else [rate_bps])]
        return min(rates, default=None)
