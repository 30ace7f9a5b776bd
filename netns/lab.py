"""The asyncio interface of a lab, whatever its engine. Works on asyncio's loop and on uvloop.

Every call goes through the lab's schedule. That of a real lab is a thread of its own, so the event loop's
thread never blocks and never changes its namespace. That of a simulated lab is the event loop.
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
from typing import TYPE_CHECKING, Literal, TypeVar

from netns.capture import Capture
from netns.counters import LinkCounters
from netns.engine import BuiltLab, CaptureOptions, FileTime, Schedule, Where
from netns.errors import LabError, SpecError
from netns.faults import Fault, FaultHandle, start
from netns.impairment import BurstLoss, JitterDistribution
from netns.planning import Plan, changed_shape, plan
from netns.spec import DIRECTIONS, Direction, EngineName, LabSpec, Shape
from netns.traces import Playback, Trace, play

if TYPE_CHECKING:
    from netns.simulated.ports import DatagramPort

T = TypeVar("T")

_COUNTED_AT_ONCE = 8
"""The number of links whose counters are read in one call. At some 0.2 ms a link, a scheduled change waits
for about 2 ms at most."""


class Keep(enum.Enum):
    """The type of ``KEEP``."""

    KEEP = "keep"


KEEP = Keep.KEEP
"""The default of ``Link.set``: leave the parameter as it is. It is not None, because None is a value that can
be set: no rate limit."""


class Lab:
    """A lab, which exists inside ``async with``. Nothing of it is there before or afterwards.

    A socket that was made with ``udp_socket`` belongs to the caller. If it is open when the lab ends, it
    keeps the namespace of its node, but its link does not work any more.
    """

    def __init__(self, spec: LabSpec) -> None:
        self._spec = spec
        self._plan: Plan | None = None
        self._built: BuiltLab | None = None
        self._schedule: Schedule | None = None

    async def __aenter__(self) -> Lab:
        """Builds the lab. Raises: ``LabError`` or one of its subclasses if it cannot be built; then
        everything that was made is removed first."""
        if self._schedule is not None:
            raise LabError("this lab is in use; make another Lab for another lab")
        self._schedule = _schedule(self._spec)
        try:
            await self._call(self._build)
        except BaseException:  # a cancellation too: __aexit__ is not called when __aenter__ fails
            await self._destroy()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes everything, even if the task was cancelled."""
        await self._destroy()

    @property
    def plan(self) -> Plan:
        """The plan that was built."""
        return self._live().plan

    @property
    def engine(self) -> EngineName:
        """The engine that delays and loses packets in this lab."""
        return self.plan.engine

    @property
    def relay_pid(self) -> int | None:
        """The process id of the relay, or None if no link passes through one."""
        relay = self._live().relay
        return relay.pid if relay is not None else None

    @property
    def relay_real_time(self) -> bool | None:
        """True if the relay runs at real-time priority, and None without a relay. Without that priority the
        relay is late when the host's CPUs are busy."""
        relay = self._live().relay
        return relay.real_time if relay is not None else None

    def address(self, node: str) -> str:
        """The IPv4 address of a node."""
        return next(link.address for link in self.plan.links if link.name == self._known(node))

    def namespace_path(self, node: str) -> str:
        """A path for ``nsenter --net=``. It is valid while the lab is up. Raises: ``LabError`` on simulated
        links, which have no namespaces."""
        return self._live().namespace_path(self._known(node))

    def now(self) -> float:
        """The lab's clock in seconds, to which the times of faults refer. It is ``time.monotonic``, or on
        simulated links that of the event loop."""
        return self._running_schedule().now()

    async def udp_socket(self, node: str, port: int = 0, buffer_bytes: int | None = None) -> socket.socket:
        """A non-blocking UDP socket in the node's namespace, bound to its address.

        The kernel charges the packets in a node's egress queue to the socket that sent them. With a send
        buffer smaller than the queue, ``send`` therefore blocks, and the queue never drops a packet.
        ``buffer_bytes`` sets the send and the receive buffer, even beyond the system's limits; by default
        they are large enough for the node's queue.

        Raises: ``LabError`` on simulated links, which have a ``datagram_port`` instead.
        """
        built, name = self._live(), self._known(node)
        made = self._running_schedule().call(lambda: built.udp_socket(name, port, buffer_bytes))
        try:
            return await asyncio.wrap_future(made)
        except asyncio.CancelledError:
            # The thread may be making the socket at this moment, and nobody else would close it.
            made.add_done_callback(_close_unwanted)
            raise

    async def datagram_port(self, node: str, port: int = 0, *, checksums: bool = True) -> DatagramPort:
        """A UDP port of a node of simulated links, at its address. ``port`` 0 takes a free one. Without
        ``checksums`` the datagrams that it sends have none, so a receiver cannot notice a corrupted one.

        Raises: ``LabError`` for a port that is taken, and on the other engines, which have sockets.
        """
        built, name = self._live(), self._known(node)
        return await self._call(lambda: built.datagram_port(name, port, checksums))

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
        comment: str = "",
        file_time: FileTime = int,
    ) -> Capture:
        """Captures the frames that pass the node's device, or with ``at="port"`` the switch's end of its
        link, into a pcapng file. It goes on until the lab ends or ``Capture.stop`` is called, which blocks
        and so belongs in a thread (but not on simulated links). ``comment`` is shown by programs that read
        the file. ``file_time`` turns the lab's time of a packet into the one in the file (see
        ``engine.FileTime``).

        Raises: ``SpecError``, or ``LabError`` if the file cannot be written."""
        if at not in ("node", "port"):
            raise SpecError(f"a capture is at the node or the port, not {at!r}")
        if snap_bytes < 64 or max_bytes < 4096:
            raise SpecError("a capture keeps 64 bytes of a packet and 4096 in all, or more")
        built, name = self._live(), self._known(node)
        options = CaptureOptions(Path(path), snap_bytes, max_bytes, comment, file_time)
        return await self._call(lambda: built.capture(name, at, options))

    async def inject(self, fault: Fault, *, for_s: float | None = None) -> FaultHandle:
        """Breaks something now, and mends it after ``for_s`` seconds. Returns when it is broken.
        Raises what ``schedule`` raises."""
        handle = self.schedule(fault, for_s=for_s)
        await handle.began()
        return handle

    def schedule(self, fault: Fault, *, in_s: float = 0.0, for_s: float | None = None) -> FaultHandle:
        """Breaks something in ``in_s`` seconds, and mends it ``for_s`` seconds later (None: never).

        Raises: ``SpecError`` for nodes that the lab does not have and for impossible times.
        """
        if not in_s >= 0:  # "not at least 0" rather than "less than 0", which would let NaN through
            raise SpecError(f"a fault cannot begin in {in_s:g} s")
        schedule = self._running_schedule()
        return start(fault, self._live(), schedule, begin_s=schedule.now() + in_s, for_s=for_s)

    async def check(self) -> None:
        """Raises ``RelayDiedError`` or ``LinkVanishedError`` if the lab is no longer whole. Without this
        call, that is noticed only when something else is asked of the lab. Takes some milliseconds."""
        await self._call(self._live().check)

    async def counters(self) -> dict[str, LinkCounters]:
        """The counters of every link since the lab was built, by node.

        They are read in small portions, so that neither a scheduled change nor the event loop waits for all
        of them. Raises: ``RelayDiedError``, ``LinkVanishedError``.
        """
        names = [link.name for link in self._spec.links]
        read = await self._call(self._live().counter_reader)
        found: dict[str, LinkCounters] = {}
        for begin in range(0, len(names), _COUNTED_AT_ONCE):
            found |= await self._call(functools.partial(read, names[begin : begin + _COUNTED_AT_ONCE]))
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
        self._built = _build(self._spec, self._running_schedule())

    def _unbuild(self) -> None:
        built, self._built = self._built, None
        if built is not None:
            built.close()

    async def _call(self, action: Callable[[], T]) -> T:
        """Runs ``action`` through the schedule. It is finished there even if the caller is cancelled."""
        future = self._running_schedule().call(action)
        # The event loop carries an action out at once. The other way would cost it a turn.
        return future.result() if future.done() else await asyncio.wrap_future(future)

    def _running_schedule(self) -> Schedule:
        if self._schedule is None:
            raise LabError("the lab is not up: use it inside `async with Lab(spec) as lab`")
        return self._schedule

    async def _destroy(self) -> None:
        schedule, self._schedule = self._schedule, None
        if schedule is None:
            return
        # It works in order, so a build whose caller was cancelled is finished before it is undone.
        done = asyncio.wrap_future(schedule.call(self._unbuild))
        cancelled: asyncio.CancelledError | None = None
        # A cancellation that comes meanwhile must not leave half a lab: it is kept, and raised at the end.
        while not done.done():
            try:
                await asyncio.shield(done)
            except asyncio.CancelledError as error:
                cancelled = error
        schedule.close()
        done.result()
        if cancelled is not None:
            raise cancelled


def _close_unwanted(made: Future[socket.socket]) -> None:
    """Closes a socket whose caller was cancelled while it was being made."""
    if not made.cancelled() and made.exception() is None:
        made.result().close()


def _schedule(spec: LabSpec) -> Schedule:
    # An engine is imported when it is needed: a simulated lab needs neither netlink nor Linux.
    if spec.engine == "simulated":
        from netns.simulated.schedule import LoopSchedule

        return LoopSchedule(asyncio.get_running_loop())
    from netns.thread import LabThread

    return LabThread("netns-lab")


def _build(spec: LabSpec, schedule: Schedule) -> BuiltLab:
    if spec.engine == "simulated":
        from netns.simulated.lab import SimulatedLab

        return SimulatedLab(plan(spec), asyncio.get_running_loop())
    from netns.build import NamespaceLab
    from netns.capabilities import host_capabilities

    return NamespaceLab(plan(spec, host_capabilities()))


class Link:
    """The link of one node. It can be cut and changed while it is in use."""

    def __init__(self, lab: Lab, name: str) -> None:
        self._lab = lab
        self.name = name

    async def down(self) -> None:
        """Cuts the link: nothing arrives any more. Sockets, addresses and routes stay, and work again after
        ``up``."""
        built = self._lab._live()
        await self._lab._call(lambda: built.set_up(self.name, False))

    async def up(self) -> None:
        """Joins the link again, even if a fault holds it down."""
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
        """Changes the parameters that are given, at once. Packets that are queued or under way are not lost.

        The values are those of ``Shape``. A new ``burst_loss`` takes the place of ``loss`` and the other way
        round; so do ``queue_s`` and ``queue_bytes``.

        Raises: ``SpecError`` for values that no link can have, ``CapabilityError`` for delay, jitter or loss
        on a link that was built without them (see ``LinkSpec.live_impairments``). Then nothing was changed.
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

        # The present shape is read through the schedule too, so that two changes at the same time do not undo
        # each other.
        def apply() -> None:
            built.set_shapes(
                self.name,
                {one: changed_shape(built.own_shape(self.name, one), changes) for one in which},
                # A rate that somebody asks for ends the outage of a trace too.
                gate="open" if "rate_bps" in changes else None,
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
        """Replays a trace on a direction, from the trace's second ``start_s`` on: the trace sets the rate,
        delay and loss for which it has values. It goes on until the trace ends (with ``loop``, never),
        ``Playback.stop`` is called or the lab ends. Raises what ``set`` raises."""
        if direction not in DIRECTIONS:
            raise SpecError(f"a trace is replayed on egress or ingress, not on {direction!r}")
        return play(
            trace,
            self.name,
            direction,
            loop=loop,
            start_s=start_s,
            built=self._lab._live(),
            schedule=self._lab._running_schedule(),
        )

    def shape(self, direction: Direction) -> Shape:
        """The shape that a direction has now, with the rate limits of faults."""
        return self._lab._live().shape(self.name, direction)
