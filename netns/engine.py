"""The two parts that ``Lab`` takes from its engine: the lab that is up, and the schedule of its changes.

Here is all that engines have in common: which links are cut and by which causes, which pairs are blocked, and
each direction's shape with the limits of faults. An engine carries the changes out.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from netns.breaking import BY_HAND, Causes, Layers
from netns.planning import DirectionPlan, LinkPlan, Plan, changed_direction
from netns.qdiscs import Gate, RateLimit
from netns.spec import DIRECTIONS, Direction, Shape

if TYPE_CHECKING:
    from netns.capture import Capture
    from netns.counters import LinkCounters
    from netns.relay.client import RelayClient
    from netns.simulated.ports import DatagramPort

T = TypeVar("T")

Where = Literal["node", "port"]
FileTime = Callable[[int], int]
"""The time that a file shows for a packet, by the lab's time of it, both in nanoseconds. The time of a real
packet is the kernel's, since 1970; that of a simulated one is the lab's clock (``Lab.now``)."""
CounterReader = Callable[[Sequence[str]], "dict[str, LinkCounters]"]
"""Reads the counters of some links, by name."""


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """The options of ``Lab.capture``."""

    path: Path
    snap_bytes: int
    max_bytes: int
    comment: str = ""
    file_time: FileTime = int


class Schedule(Protocol):
    """Carries out the changes of a lab, in order, and those that are due later at their time."""

    def now(self) -> float:
        """The lab's clock in seconds, to which the ``at`` of ``call`` refers."""

    def call(self, action: Callable[[], T], at: float | None = None) -> Future[T]:
        """Runs ``action`` at the time ``at``. Without it, ``action`` runs after everything that was called
        earlier or is already due.

        The future can be cancelled until the action begins. Raises: ``LabError`` after ``close``.
        """

    def close(self) -> None:
        """Runs the calls that wait, and cancels the actions that are due later."""


class BuiltLab(ABC):
    """A lab that is up. All its methods are called through the schedule."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.relay: RelayClient | None = None
        """The process of an engine that has one."""
        self._links = {link.name: link for link in plan.links}
        self._directions = {
            (link.name, which): link.direction(which) for link in plan.links for which in DIRECTIONS
        }
        # The shapes that the caller has set. Those in _directions include the rate limits of faults.
        self._base = {key: direction.shape for key, direction in self._directions.items()}
        self._limits: dict[tuple[str, Direction], Layers] = {key: Layers({}) for key in self._directions}
        self._gates: dict[tuple[str, Direction], Gate] = dict.fromkeys(self._directions, "open")
        self._down: Causes[str] = Causes()
        self._blocked: Causes[tuple[str, str]] = Causes()

    # -- what an engine does --

    @abstractmethod
    def close(self) -> None:
        """Removes everything, and ends the captures."""

    @abstractmethod
    def check(self) -> None:
        """Raises ``RelayDiedError`` or ``LinkVanishedError`` if the lab is no longer whole."""

    @abstractmethod
    def counter_reader(self) -> CounterReader:
        """Reads the counters that links have in common, and returns a function that reads the others. The
        function may be called in portions, so that no scheduled change has to wait for all links."""

    @abstractmethod
    def capture(self, name: str, at: Where, options: CaptureOptions) -> Capture:
        """Begins to capture the frames at a node's device, or at its port of the switch. Raises:
        ``LabError`` if the file cannot be written."""

    @abstractmethod
    def namespace_path(self, name: str) -> str:
        """A path for ``nsenter --net=``. Raises: ``LabError`` if the engine has none."""

    @abstractmethod
    def udp_socket(self, name: str, port: int, buffer_bytes: int | None) -> socket.socket:
        """A socket in a node's namespace. Raises: ``LabError`` if the engine has none."""

    @abstractmethod
    def datagram_port(self, name: str, port: int, checksums: bool) -> DatagramPort:
        """A port of a simulated node. Raises: ``LabError`` if the engine has none."""

    @abstractmethod
    def _cut(self, names: Sequence[str]) -> None:
        """Cuts links. A port that is cut forwards nothing, and the packets on their way to the node are
        lost."""

    @abstractmethod
    def _join(self, names: Sequence[str]) -> None:
        """Joins links that were cut."""

    @abstractmethod
    def _set_reach(self, pairs: Sequence[tuple[str, str]], reach: bool) -> None:
        """Makes the frames that the first node of each pair sends to the second vanish at the switch, or
        arrive again."""

    @abstractmethod
    def _apply(self, link: LinkPlan, which: Direction, old: DirectionPlan, new: DirectionPlan) -> None:
        """Changes a direction. Packets that are queued or under way stay."""

    # -- what all engines do alike --

    def set_up(self, name: str, up: bool) -> None:
        """Cuts a link, or joins it again, no matter which causes hold it down."""
        if not up:
            self.hold_down((name,), BY_HAND)
        elif self._down.free(name):
            self._join([name])

    def hold_down(self, names: Sequence[str], cause: object) -> None:
        """Cuts links on account of ``cause``. A link stays cut until all of its causes are gone."""
        self._cut(self._down.hold(names, cause))

    def release(self, names: Sequence[str], cause: object) -> None:
        """Takes a cause away, and joins the links that no other cause holds down."""
        self._join(self._down.release(names, cause))

    def block(self, pairs: Sequence[tuple[str, str]], cause: object) -> None:
        """Makes all frames from the first node of each pair to the second vanish at the switch."""
        self._set_reach(self._blocked.hold(pairs, cause), False)

    def unblock(self, pairs: Sequence[tuple[str, str]], cause: object) -> None:
        """Takes a cause away, and unblocks the pairs that no other cause blocks."""
        self._set_reach(self._blocked.release(pairs, cause), True)

    def set_shapes(self, name: str, shapes: dict[Direction, Shape], *, gate: Gate | None = None) -> None:
        """Changes directions of a link. Packets that are queued or under way stay. Without ``gate`` each
        direction's gate stays as it is. Only a direction with a rate can be held.

        Raises: ``CapabilityError`` if the wire cannot do it; then nothing was changed.
        """
        link = self._links[name]
        # All are planned before the first is applied, so that a refusal leaves both directions as they were.
        planned = {which: self.check_shape(name, which, shape) for which, shape in shapes.items()}
        for which, new in planned.items():
            if gate is not None:
                self._gates[name, which] = gate
            gated = new.with_gate(self._gates[name, which])
            self._apply(link, which, self._directions[name, which], gated)
            self._directions[name, which] = gated
            self._base[name, which] = shapes[which]

    def check_shape(self, name: str, which: Direction, shape: Shape) -> DirectionPlan:
        """The plan for setting a shape. Raises: ``CapabilityError`` if the wire cannot do it."""
        return changed_direction(
            self._directions[name, which],
            replace(shape, rate_bps=self._limits[name, which].effective(shape.rate_bps)),
            wire=self._links[name].wire,
            mtu_bytes=self.plan.mtu_bytes,
        )

    def limit_rate(self, name: str, which: Direction, cause: object, rate_bps: float | None) -> None:
        """Limits the rate of a direction on account of ``cause``. None takes the limit of that cause away."""
        limits = self._limits[name, which].limits
        if rate_bps is None:
            limits.pop(cause, None)
        else:
            limits[cause] = rate_bps
        # check_shape applies the limits to the direction's own shape.
        self.set_shapes(name, {which: self._base[name, which]})

    def rate_limit(self, name: str, which: Direction) -> RateLimit | None:
        """The qdisc that limits the rate of a direction now."""
        return self._directions[name, which].rate_limit

    def shape(self, name: str, which: Direction) -> Shape:
        """The shape that a direction has now, with the rate limits of faults."""
        return self._directions[name, which].shape

    def own_shape(self, name: str, which: Direction) -> Shape:
        """The shape that a direction would have without faults."""
        return self._base[name, which]
