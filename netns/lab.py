"""The asyncio face of a lab: every call goes to the lab's own thread, so the loop never waits and
never changes namespace. Works on asyncio's loop and on uvloop.
"""

from __future__ import annotations

import asyncio
import enum
import functools
import socket
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeVar

from netns.build import BuiltLab
from netns.capabilities import host_capabilities
from netns.capture import Capture, Where
from netns.counters import LinkCounters
from netns.errors import LabError, SpecError
from netns.faults import Fault, FaultHandle, start
from netns.impairment import BurstLoss, JitterDistribution
from netns.planning import Plan, changed_shape, plan
from netns.spec import DIRECTIONS, Direction, EngineName, LabSpec, Shape
from netns.traces import Playback, Trace, play
from netns.worker import Worker

T = TypeVar("T")

_COUNTED_AT_ONCE = 8
"""Links whose counters are read before others get their turn."""
_LEAST_BUFFER_BYTES, _MOST_BUFFER_BYTES = 1 << 20, 1 << 28


class Keep(enum.Enum):
    """The type of ``KEEP``."""

    KEEP = "keep"


KEEP = Keep.KEEP
"""For ``Link.set``: leave this as it is (None is a value: no rate limit)."""


class Lab:
    """A lab that exists inside ``async with``, and nothing of it before or afterwards.

    Sockets that were made with ``udp_socket`` belong to the caller; one that stays open keeps its node's
    namespace, without a working link.
    """

    def __init__(self, spec: LabSpec) -> None:
        self._spec = spec
        self._plan: Plan | None = None
        self._built: BuiltLab | None = None
        self._worker: Worker | None = None

    async def __aenter__(self) -> Lab:
        """Builds it. Raises ``LabError`` (see its subclasses) if that cannot be done, having undone all."""
        if self._worker is not None:
            raise LabError("this lab is in use; make another Lab for another lab")
        self._worker = Worker("netns-lab")
        try:
            await self._call(self._build)
        except BaseException:
            await self._destroy()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes everything, after a cancellation too."""
        await self._destroy()

    @property
    def plan(self) -> Plan:
        """What was built."""
        return self._live().plan

    @property
    def engine(self) -> EngineName:
        """Who delays and loses packets here."""
        return self.plan.engine

    @property
    def relay_pid(self) -> int | None:
        """The relay process, if a link needed one."""
        relay = self._live().relay
        return relay.pid if relay is not None else None

    @property
    def relay_real_time(self) -> bool | None:
        """Whether the relay runs at real-time priority: its lateness under load depends on it."""
        relay = self._live().relay
        return relay.real_time if relay is not None else None

    def address(self, node: str) -> str:
        """The IPv4 address of a node."""
        return next(link.address for link in self.plan.links if link.name == self._known(node))

    def namespace_path(self, node: str) -> str:
        """A path for ``nsenter --net=``, valid while the lab is up."""
        return self._live().node(self._known(node)).path

    async def udp_socket(self, node: str, port: int = 0, buffer_bytes: int | None = None) -> socket.socket:
        """A non-blocking UDP socket in the node's namespace, bound to its address.

        A node's egress queue is charged to the socket that fills it: with a send buffer smaller than
        the queue it is ``send`` that blocks, not the network that drops. ``buffer_bytes`` sets both
        buffers, beyond the system's limits; by default they are large enough for the node's queue.
        """
        built = self._live()
        namespace, address = built.node(self._known(node)), self.address(node)

        def make() -> socket.socket:
            return namespace.udp_socket(address, port, buffer_bytes or _buffer_bytes(built, node))

        made = self._thread().call(make)
        try:
            return await asyncio.wrap_future(made)
        except asyncio.CancelledError:
            made.add_done_callback(_close_unwanted)
            raise

    def link(self, node: str) -> Link:
        """The link of a node."""
        return Link(self, self._known(node))

    async def capture(
        self,
        node: str,
        path: str | Path,
        *,
        at: Where = "node",
        snap_bytes: int = 65_535,
        max_bytes: int = 1 << 30,
    ) -> Capture:
        """Captures into a pcapng file what passes the node's device, or with ``at="port"`` the switch's end
        of its link, until the capture is stopped (in a thread: it waits) or the lab ends."""
        if at not in ("node", "port"):
            raise SpecError(f"a capture is at the node or the port, not {at!r}")
        if snap_bytes < 64 or max_bytes < 4096:
            raise SpecError("a capture keeps 64 bytes of a packet and 4096 in all, or more")
        built, name = self._live(), self._known(node)
        return await self._call(
            lambda: built.capture(name, Path(path), at, snap_bytes=snap_bytes, max_bytes=max_bytes)
        )

    async def inject(self, fault: Fault, *, for_s: float | None = None) -> FaultHandle:
        """Breaks something now, and with ``for_s`` mends it by itself. Returns when it is applied."""
        handle = self.schedule(fault, for_s=for_s)
        await handle.began()
        return handle

    def schedule(self, fault: Fault, *, in_s: float = 0.0, for_s: float | None = None) -> FaultHandle:
        """Breaks something ``in_s`` from now. Raises: ``SpecError`` for nodes that are not there."""
        if not in_s >= 0:
            raise SpecError(f"a fault cannot begin in {in_s:g} s")
        worker = self._thread()
        return start(fault, self._live(), worker, begin_s=worker.now() + in_s, for_s=for_s)

    async def counters(self) -> dict[str, LinkCounters]:
        """What every link carried and lost so far. Raises ``RelayDiedError``, ``LinkVanishedError``.

        Asked for in small portions, so that neither what is scheduled nor the event loop waits for all.
        """
        built = self._live()
        names = [link.name for link in self._spec.links]
        shared = await self._call(built.sample_shared)
        found: dict[str, LinkCounters] = {}
        for begin in range(0, len(names), _COUNTED_AT_ONCE):
            some = names[begin : begin + _COUNTED_AT_ONCE]
            found |= await self._call(functools.partial(built.counters, some, shared))
        return found

    def _known(self, node: str) -> str:
        names = [link.name for link in self._spec.links]
        if node not in names:
            raise SpecError(f"no node {node!r} in this lab; there are {', '.join(names)}")
        return node

    def _live(self) -> BuiltLab:
        if self._built is None:
            raise LabError("the lab is not up: use it inside `async with Lab(spec) as lab`")
        return self._built

    def _build(self) -> None:
        self._built = BuiltLab(plan(self._spec, host_capabilities()))

    def _unbuild(self) -> None:
        built, self._built = self._built, None
        if built is not None:
            built.close()

    async def _call(self, action: Callable[[], T]) -> T:
        """Runs ``action`` in the lab's thread. It is finished there even if the caller is cancelled."""
        return await asyncio.wrap_future(self._thread().call(action))

    def _thread(self) -> Worker:
        if self._worker is None:
            raise LabError("the lab is not up: use it inside `async with Lab(spec) as lab`")
        return self._worker

    async def _destroy(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        done = asyncio.wrap_future(worker.call(self._unbuild))
        cancelled: asyncio.CancelledError | None = None
        while not done.done():  # the thread works in order, so an interrupted build is finished first
            try:
                await asyncio.shield(done)
            except asyncio.CancelledError as error:
                cancelled = error
        worker.close()
        done.result()
        if cancelled is not None:
            raise cancelled


def _close_unwanted(made: Future[socket.socket]) -> None:
    """For a socket whose receiver was cancelled while it was being made."""
    if not made.cancelled() and made.exception() is None:
        made.result().close()


def _buffer_bytes(built: BuiltLab, node: str) -> int:
    # The kernel charges a small packet with several times its size.
    limit = built.rate_limit(node, "egress")
    return max(_LEAST_BUFFER_BYTES, min(8 * limit.limit_bytes if limit else 0, _MOST_BUFFER_BYTES))


class Link:
    """One node's link, to be broken and changed while it is in use."""

    def __init__(self, lab: Lab, name: str) -> None:
        self._lab = lab
        self.name = name

    async def down(self) -> None:
        """Cuts it: nothing arrives any more, but sockets, addresses and routes stay and work after ``up``."""
        built = self._lab._live()
        await self._lab._call(lambda: built.set_up(self.name, False))

    async def up(self) -> None:
        """Joins it again."""
        built = self._lab._live()
        await self._lab._call(lambda: built.set_up(self.name, True))

    async def set(
        self,
        *,
        direction: Literal["egress", "ingress", "both"] = "both",
        rate_bps: float | Keep | None = KEEP,
        queue_s: float | Keep | None = KEEP,
        queue_bytes: int | Keep | None = KEEP,
        delay_s: float | Keep = KEEP,
        jitter_s: float | Keep = KEEP,
        jitter_distribution: JitterDistribution | Keep = KEEP,
        loss: float | Keep = KEEP,
        burst_loss: BurstLoss | Keep | None = KEEP,
        reorder: float | Keep = KEEP,
        duplicate: float | Keep = KEEP,
        corrupt: float | Keep = KEEP,
    ) -> None:
        """Changes what is given, at once and without losing packets that are queued or under way.

        The values are those of ``Shape``; a ``burst_loss`` takes the place of a ``loss`` and the other way
        round. Raises: ``SpecError`` for bad values; ``CapabilityError`` for delay, jitter or loss on a link
        that was built without them (see ``LinkSpec.live_impairments``); then nothing was changed.
        """
        if direction not in (*DIRECTIONS, "both"):
            raise SpecError(f"direction {direction!r} is none of egress, ingress, both")
        given = {
            "rate_bps": rate_bps,
            "queue_s": queue_s,
            "queue_bytes": queue_bytes,
            "delay_s": delay_s,
            "jitter_s": jitter_s,
            "jitter_distribution": jitter_distribution,
            "loss": loss,
            "burst_loss": burst_loss,
            "reorder": reorder,
            "duplicate": duplicate,
            "corrupt": corrupt,
        }
        changes = {name: value for name, value in given.items() if not isinstance(value, Keep)}
        which = DIRECTIONS if direction == "both" else (direction,)
        built = self._lab._live()

        def apply() -> None:
            built.set_shapes(
                self.name, {one: changed_shape(built.own_shape(self.name, one), changes) for one in which}
            )

        await self._lab._call(apply)

    def replay(
        self,
        trace: Trace,
        *,
        direction: Direction = "egress",
        loop: bool = True,
        start_s: float = 0.0,
    ) -> Playback:
        """Lets a trace, from ``start_s`` of it on, set the direction's rate, and delay and loss where it has
        such, until it ends (looped, never), is stopped, or the lab ends. Raises what ``set`` raises."""
        if direction not in DIRECTIONS:
            raise SpecError(f"a trace is replayed on egress or ingress, not on {direction!r}")
        return play(
            trace,
            self.name,
            direction,
            loop=loop,
            start_s=start_s,
            built=self._lab._live(),
            worker=self._lab._thread(),
        )

    def shape(self, direction: Direction) -> Shape:
        """The shape a direction has now, limits by faults included."""
        return self._lab._live().shape(self.name, direction)
