"""Faults: what can be broken in a lab, for how long and when. They end by themselves and may overlap.

    await lab.inject(Down("cam1", "cam2"), for_s=5)
    handle = lab.schedule(Partition({"cam1"}, {"server"}), in_s=10, for_s=3)
    await handle.ended()
    print(handle.log)

Times are kept by the lab's own thread, so a busy event loop does not delay them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netns.errors import SpecError
from netns.spec import DIRECTIONS, RATE_RANGE_BPS, Direction

if TYPE_CHECKING:
    from netns.build import BuiltLab
    from netns.worker import Worker


class Fault:
    """Something that can be broken and mended. Not for use itself."""

    def nodes(self) -> Iterable[str]:
        """The nodes it names."""
        raise NotImplementedError

    def timeline(self, for_s: float | None) -> list[tuple[float, bool]]:
        """When it breaks (True) and mends (False), in seconds from its beginning."""
        return [(0.0, True)] if for_s is None else [(0.0, True), (for_s, False)]

    def apply(self, lab: BuiltLab, cause: object) -> None:
        """Breaks it."""
        raise NotImplementedError

    def undo(self, lab: BuiltLab, cause: object) -> None:
        """Takes back what ``apply`` did for the same cause."""
        raise NotImplementedError


class Down(Fault):
    """Links are cut at the switch, both ways; what is under way to their nodes is lost."""

    def __init__(self, *links: str) -> None:
        if not links:
            raise SpecError("Down needs at least one link")
        self.links = links

    def __repr__(self) -> str:
        return f"Down({', '.join(map(repr, self.links))})"

    def nodes(self) -> Iterable[str]:
        return self.links

    def apply(self, lab: BuiltLab, cause: object) -> None:
        lab.hold_down(self.links, cause)

    def undo(self, lab: BuiltLab, cause: object) -> None:
        lab.release(self.links, cause)


class Flap(Down):
    """Links go down for ``down_s`` and up for ``up_s``, ``times`` over, or until the fault ends."""

    def __init__(self, *links: str, down_s: float, up_s: float, times: int | None = None) -> None:
        super().__init__(*links)
        if not down_s > 0 or not up_s > 0:
            raise SpecError(f"a flap's down_s={down_s:g} and up_s={up_s:g} must be over 0")
        if times is not None and times < 1:
            raise SpecError(f"a link cannot flap {times} times")
        self.down_s, self.up_s, self.times = down_s, up_s, times

    def __repr__(self) -> str:
        return f"{super().__repr__()} flapping {self.down_s:g} s down, {self.up_s:g} s up"

    def timeline(self, for_s: float | None) -> list[tuple[float, bool]]:
        period_s = self.down_s + self.up_s
        times = self.times
        if times is None:
            if for_s is None:
                raise SpecError("a flap needs times or for_s, or it would never end")
            times = int(for_s / period_s) + 1
        steps: list[tuple[float, bool]] = []
        for number in range(times):
            start = number * period_s
            if for_s is not None and start >= for_s:
                break
            end = start + self.down_s
            steps += [(start, True), (end if for_s is None else min(end, for_s), False)]
        return steps


class RateCliff(Fault):
    """One direction has at most ``rate_bps`` for a time; its own rate, if lower, holds all the same."""

    def __init__(self, link: str, direction: Direction, rate_bps: float) -> None:
        low, high = RATE_RANGE_BPS
        if not low <= rate_bps <= high:
            raise SpecError(f"rate_bps={rate_bps:g} is outside {low:g} to {high:g} bit/s")
        self.link, self.direction, self.rate_bps = link, _direction(direction), rate_bps

    def __repr__(self) -> str:
        return f"RateCliff({self.link!r}, {self.direction!r}, {self.rate_bps:g})"

    def nodes(self) -> Iterable[str]:
        return (self.link,)

    def apply(self, lab: BuiltLab, cause: object) -> None:
        lab.limit_rate(self.link, self.direction, cause, self.rate_bps)

    def undo(self, lab: BuiltLab, cause: object) -> None:
        lab.limit_rate(self.link, self.direction, cause, None)


class Partition(Fault):
    """Nodes of different sets do not reach each other; nodes in none of the sets reach all.

    The senders are not told. What has left its node when the partition begins still arrives.
    """

    def __init__(self, *sets: Collection[str]) -> None:
        if len(sets) < 2:
            raise SpecError("a partition needs two sets of nodes or more")
        named = [node for nodes in sets for node in nodes]
        twice = sorted({node for node in named if named.count(node) > 1})
        if twice:
            raise SpecError(f"a partition's sets share {', '.join(twice)}")
        self.sets = tuple(frozenset(nodes) for nodes in sets)

    def __repr__(self) -> str:
        return f"Partition({', '.join(str(sorted(nodes)) for nodes in self.sets)})"

    def nodes(self) -> Iterable[str]:
        return [node for nodes in self.sets for node in sorted(nodes)]

    def apply(self, lab: BuiltLab, cause: object) -> None:
        lab.block(self._pairs(), cause)

    def undo(self, lab: BuiltLab, cause: object) -> None:
        lab.unblock(self._pairs(), cause)

    def _pairs(self) -> list[tuple[str, str]]:
        return [
            (source, target)
            for here in self.sets
            for there in self.sets
            if here is not there
            for source in sorted(here)
            for target in sorted(there)
        ]


class Blackhole(Fault):
    """What a node sends (``egress``) or what is sent to it (``ingress``) vanishes at the switch, one way
    only; nobody is told. What has left its sender when it begins still arrives."""

    def __init__(self, link: str, direction: Direction) -> None:
        self.link, self.direction = link, _direction(direction)

    def __repr__(self) -> str:
        return f"Blackhole({self.link!r}, {self.direction!r})"

    def nodes(self) -> Iterable[str]:
        return (self.link,)

    def apply(self, lab: BuiltLab, cause: object) -> None:
        lab.block(self._pairs(lab), cause)

    def undo(self, lab: BuiltLab, cause: object) -> None:
        lab.unblock(self._pairs(lab), cause)

    def _pairs(self, lab: BuiltLab) -> list[tuple[str, str]]:
        others = [link.name for link in lab.plan.links if link.name != self.link]
        if self.direction == "egress":
            return [(self.link, other) for other in others]
        return [(other, self.link) for other in others]


def _direction(direction: Direction) -> Direction:
    if direction not in DIRECTIONS:
        raise SpecError(f"direction {direction!r} is none of egress, ingress")
    return direction


@dataclass(frozen=True, slots=True)
class Applied:
    """One change: when it was asked for and when it held, on ``time.monotonic``'s clock."""

    fault: str
    breaks: bool
    """False: this change mends."""
    requested_s: float
    applied_s: float


@dataclass
class FaultHandle:
    """A fault that was injected or scheduled."""

    fault: Fault
    log: list[Applied] = field(default_factory=list)
    """What was done so far."""
    _steps: list[Future[None]] = field(default_factory=list)
    _worker: Worker | None = None
    _undo: Callable[[float | None], None] | None = None

    async def began(self) -> None:
        """Waits until it is applied. Raises what went wrong."""
        await self._wait(self._steps[:1])

    async def ended(self) -> None:
        """Waits for its last change. Returns at once for a fault that was to last, once it is applied."""
        await self._wait(self._steps)

    async def end(self, *, in_s: float = 0.0) -> None:
        """Ends it now, or ``in_s`` from now, whatever its schedule says."""
        if self._worker is None or self._undo is None:
            return
        at = self._worker.now() + in_s if in_s > 0 else None
        undo = self._undo
        await asyncio.wrap_future(self._worker.call(lambda: undo(at), at))

    @staticmethod
    async def _wait(steps: Iterable[Future[None]]) -> None:
        for step in steps:
            try:
                await asyncio.shield(asyncio.wrap_future(step))
            except asyncio.CancelledError:
                if not step.cancelled():
                    raise


def start(
    fault: Fault, built: BuiltLab, worker: Worker, *, begin_s: float, for_s: float | None
) -> FaultHandle:
    """Puts a fault on the worker's schedule, to begin at ``begin_s`` on its clock.

    Raises: ``SpecError`` for nodes that are not there or a duration that cannot be.
    """
    known = {link.name for link in built.plan.links}
    unknown = sorted(set(fault.nodes()) - known)
    if unknown:
        raise SpecError(f"{fault!r}: no node {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    if for_s is not None and not for_s > 0:
        raise SpecError(f"a fault cannot last {for_s:g} s")
    handle = FaultHandle(fault)
    cause = object()

    def change(breaks: bool, requested_s: float) -> None:
        (fault.apply if breaks else fault.undo)(built, cause)
        handle.log.append(Applied(repr(fault), breaks, requested_s, worker.now()))

    def step(breaks: bool, at: float) -> Callable[[], None]:
        return lambda: change(breaks, at)

    def end(at: float | None) -> None:
        for planned in handle._steps:
            planned.cancel()
        if handle.log and handle.log[-1].breaks:
            change(False, worker.now() if at is None else at)

    handle._worker, handle._undo = worker, end
    for offset, breaks in fault.timeline(for_s):
        at = begin_s + offset
        handle._steps.append(worker.call(step(breaks, at), at))
    return handle
