"""Faults break parts of a lab at a given time and for a given time. They end by themselves and may overlap.

    await lab.inject(Down("cam1", "cam2"), for_s=5)
    handle = lab.schedule(Partition({"cam1"}, {"server"}), in_s=10, for_s=3)
    await handle.ended()
    print(handle.log)

The lab's schedule keeps the times. That of a real lab is a thread of its own, so a busy event loop does not
delay a fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netns.errors import SpecError
from netns.spec import DIRECTIONS, Direction, check_rate

if TYPE_CHECKING:
    from netns.engine import BuiltLab, Schedule


class Fault:
    """The base class of all faults."""

    def nodes(self) -> Iterable[str]:
        """The nodes that the fault names."""
        raise NotImplementedError

    def timeline(self, for_s: float | None) -> list[tuple[float, bool]]:
        """The times at which it breaks (True) and mends (False), in seconds from its beginning, for a
        duration of ``for_s`` seconds (None: it lasts)."""
        return [(0.0, True)] if for_s is None else [(0.0, True), (for_s, False)]

    def apply(self, lab: BuiltLab, cause: object) -> None:
        """Breaks the lab on account of ``cause``. Called through the lab's schedule, as ``undo``
        is."""
        raise NotImplementedError

    def undo(self, lab: BuiltLab, cause: object) -> None:
        """Mends everything that ``apply`` broke on account of the same cause."""
        raise NotImplementedError


class Down(Fault):
    """Links are cut at the switch, in both directions. Packets that are under way to their nodes are lost."""

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
    """Links go down for ``down_s`` and up for ``up_s``, again and again: ``times`` times, or until the fault
    ends."""

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
            # One more than has room, because the loop below cuts off at for_s.
            times = int(for_s / period_s) + 1
        steps: list[tuple[float, bool]] = []
        for number in range(times):
            start = number * period_s
            if for_s is not None and start >= for_s:
                break
            end = start + self.down_s
            # The links are up at the end, also if that comes in the middle of a time down.
            steps += [(start, True), (end if for_s is None else min(end, for_s), False)]
        return steps


class RateCliff(Fault):
    """One direction has at most ``rate_bps`` for a time. If its own rate is lower, that one stays."""

    def __init__(self, link: str, direction: Direction, rate_bps: float) -> None:
        check_rate(rate_bps)
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
    """Nodes of different sets do not reach each other. A node that is in none of the sets reaches all.

    The senders notice nothing. A packet that has left its node before the partition begins still arrives.
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
    """All packets from a node (``egress``), or all packets to it (``ingress``), vanish at the switch. The
    other direction works, and the senders notice nothing. A packet that has left its node before it begins
    still arrives."""

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
    """One change that a fault has made. ``requested_s`` is the time for which it was asked for and
    ``applied_s`` the time when it was done, both on the lab's clock (``Lab.now``)."""

    fault: str
    breaks: bool
    """True if this change broke something, False if it mended it."""
    requested_s: float
    applied_s: float


@dataclass
class FaultHandle:
    """A fault that was injected or scheduled."""

    fault: Fault
    log: list[Applied] = field(default_factory=list)
    """The changes that were made so far."""
    _steps: list[Future[None]] = field(default_factory=list)
    _schedule: Schedule | None = None
    _undo: Callable[[float | None], None] | None = None

    async def began(self) -> None:
        """Waits until the fault is applied for the first time. Raises the error if that failed."""
        await self._wait(self._steps[:1])

    async def ended(self) -> None:
        """Waits for the last change of the fault. A fault without an end has only its first change."""
        await self._wait(self._steps)

    async def end(self, *, in_s: float = 0.0) -> None:
        """Ends the fault now, or in ``in_s`` seconds, no matter what its schedule says."""
        if self._schedule is None or self._undo is None:
            return
        at = self._schedule.now() + in_s if in_s > 0 else None
        undo = self._undo
        await asyncio.wrap_future(self._schedule.call(lambda: undo(at), at))

    @staticmethod
    async def _wait(steps: Iterable[Future[None]]) -> None:
        for step in steps:
            try:
                # Without the shield, cancelling a task that waits would cancel the step itself.
                await asyncio.shield(asyncio.wrap_future(step))
            except asyncio.CancelledError:
                # Either the step was cancelled, by an early end or with the lab, or the task that waits here.
                if not step.cancelled():
                    raise


def start(
    fault: Fault, built: BuiltLab, schedule: Schedule, *, begin_s: float, for_s: float | None
) -> FaultHandle:
    """Puts the changes of a fault on the lab's schedule, from ``begin_s`` of its clock on.

    Raises: ``SpecError`` for nodes that the lab does not have and for an impossible duration.
    """
    known = {link.name for link in built.plan.links}
    unknown = sorted(set(fault.nodes()) - known)
    if unknown:
        raise SpecError(f"{fault!r}: no node {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    if for_s is not None and not for_s > 0:
        raise SpecError(f"a fault cannot last {for_s:g} s")
    handle = FaultHandle(fault)
    # A new object is equal to nothing else, so the same fault may be injected twice at once.
    cause = object()

    def change(breaks: bool, requested_s: float) -> None:
        (fault.apply if breaks else fault.undo)(built, cause)
        handle.log.append(Applied(repr(fault), breaks, requested_s, schedule.now()))

    def step(breaks: bool, at: float) -> Callable[[], None]:
        return lambda: change(breaks, at)

    def end(at: float | None) -> None:
        for planned in handle._steps:
            planned.cancel()  # does nothing to a step that has run
        # It may not have begun, or may be between two times down of a flap: then there is nothing to mend.
        if handle.log and handle.log[-1].breaks:
            change(False, schedule.now() if at is None else at)

    handle._schedule, handle._undo = schedule, end
    for offset, breaks in fault.timeline(for_s):
        at = begin_s + offset
        handle._steps.append(schedule.call(step(breaks, at), at))
    return handle
