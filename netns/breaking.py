"""What is broken in a lab and by whom: a link stays cut as long as one cause holds it. Pure bookkeeping.

A cause is any hashable value; the one who breaks something takes it away again with the same one. So
two faults may overlap, and ending one does not end the other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

BY_HAND = "by hand"
"""The cause of ``Link.down``."""


class Causes(Generic[K]):
    """Which things are held, and by which causes."""

    def __init__(self) -> None:
        self._held: dict[K, set[Hashable]] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._held

    def hold(self, keys: Iterable[K], cause: Hashable) -> list[K]:
        """Returns the keys that nobody held before."""
        new = [key for key in keys if key not in self._held]
        for key in keys:
            self._held.setdefault(key, set()).add(cause)
        return new

    def release(self, keys: Iterable[K], cause: Hashable) -> list[K]:
        """Returns the keys that nobody holds any more."""
        freed = []
        for key in keys:
            causes = self._held.get(key)
            if causes is None:
                continue
            causes.discard(cause)
            if not causes:
                del self._held[key]
                freed.append(key)
        return freed

    def free(self, key: K) -> bool:
        """Takes every cause away; True if there was one."""
        return self._held.pop(key, None) is not None


@dataclass(slots=True)
class Layers:
    """A rate with limits laid over it for a time: the lowest that is there holds."""

    limits: dict[Hashable, float]

    def effective(self, rate_bps: float | None) -> float | None:
        """What ``rate_bps`` (None: unlimited) comes down to."""
        rates = [*self.limits.values(), *([] if rate_bps is None else [rate_bps])]
        return min(rates, default=None)
