"""Experiments over real kernel queues: a lab of network namespaces for each, as root.

Every flow is a node with half its round trip and its random loss each way on its own link, as in
``simulated``; the bottleneck is the server's ingress. Random loss is on the nodes' links because a
packet then meets it before the queue, with both engines of the lab, and passes through the relay
process once instead of twice. Sender and receiver of all flows share one process and one event loop.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, TypeVar

from ecco_emu.bench.transport import steering
from ecco_emu.bench.transport.experiment import UPLINK_QUEUE_S, Cell, Change, Experiment
from ecco_emu.bench.transport.measures import Result, Trace, evaluate
from ecco_emu.core.errors import HostError
from ecco_emu.host import event_loop
from ecco_emu.host.clock import RunClock
from ecco_emu.host.loop_lag import LoopLag
from ecco_emu.study.pool import Pool
from ecco_emu.transport import ConnectionClosed, Listener, Peer, connect
from netns import Down, Lab, LabError, LabSpec, LinkSpec, Shape

T = TypeVar("T")

STEP_S, CHANGE_STEP_S = 0.5, 0.1
"""Between two looks at the counters, and where there is a change to be watched. A look costs about 0.2 ms
of CPU for each link, during which the flows may have to wait."""
NICENESS = -10
"""Of the processes with the flows: as in an emulation, they outrank what else the host does."""
START_S = 1.0
_SERVER = "server"
_PIECE = bytes(32 * 1024)
_PIECES = 40
"""So many of a source's pieces wait or are under way: more than the transport's window of 1 MiB."""


async def measure_real(
    cells: Sequence[Cell],
    *,
    side_by_side: int = 1,
    on_done: Callable[[int, Result], None] | None = None,
) -> list[Result]:
    """Measures cells, ``side_by_side`` labs at a time, each in a process of its own. In the cells' order.

    Raises ``HostError``: no privileges, no such mapping, a lab that cannot be built.
    """
    results: dict[int, Result] = {}

    def done(index: int, result: Result) -> None:
        results[index] = result
        if on_done is not None:
            on_done(index, result)

    async with Pool("real links", side_by_side, NICENESS) as pool:
        await pool.run(run_cell, [(cell,) for cell in cells], done)
    return [results[index] for index in range(len(cells))]


def run_cell(cell: Cell) -> Result:
    """Measures one cell in the calling process."""
    return evaluate(cell, run_trace(cell))


def run_trace(cell: Cell, change: Change | None = None) -> Trace:
    """Runs a cell, and the change in it if there is one, on a loop of its own. Raises ``HostError``."""
    try:
        return event_loop.run(trace(cell, change))
    except LabError as error:
        raise HostError(str(error)) from error


def load_bps(experiment: Experiment) -> float:
    """What an experiment asks of the host: the traffic through its lab."""
    return experiment.cell.rate_bps


def lab_spec(cell: Cell) -> LabSpec:
    """The lab of a cell: ``cam0`` and so on, and ``server``."""
    links = []
    for index, (rtt_s, uplink_bps) in enumerate(zip(cell.rtts_s, cell.uplinks, strict=True)):
        queue_s = None if uplink_bps is None else UPLINK_QUEUE_S
        egress = Shape(rate_bps=uplink_bps, queue_s=queue_s, delay_s=rtt_s / 2, loss=cell.loss)
        links.append(LinkSpec(f"cam{index}", egress=egress, ingress=Shape(delay_s=rtt_s / 2, loss=cell.loss)))
    bottleneck = Shape(rate_bps=cell.rate_bps, queue_s=cell.queue_s)
    return LabSpec(links=(*links, LinkSpec(_SERVER, ingress=bottleneck)), seed=cell.seed)


async def trace(cell: Cell, change: Change | None = None) -> Trace:
    """Runs a cell on the running event loop and counts."""
    step_s = STEP_S if change is None else CHANGE_STEP_S
    async with AsyncExitStack() as stack:
        lab = await stack.enter_async_context(Lab(lab_spec(cell)))
        run = await stack.enter_async_context(Flows(cell, lab))
        if change is not None:
            run.spawn(run.apply(change))
        lag = LoopLag()
        run.spawn(lag.run())
        times, samples = [], []
        while (now := run.clock.now()) < cell.duration_s + step_s:
            samples.append(await run.sample())
            times.append(now)
            run.check()
            await run.clock.sleep_until(len(times) * step_s)
    counted = Trace.of(times, samples, len(cell.weights))
    return replace(counted, lag_p99_s=lag.quantile_ms(0.99) / 1e3)


class Flows:
    """The flows of a cell on its lab; everything is closed on leaving."""

    def __init__(self, cell: Cell, lab: Lab) -> None:
        self._cell = cell
        self._lab = lab
        self._names = [f"cam{index}" for index in range(len(cell.weights))]
        self._weights = cell.weights
        self.clock = RunClock(1.0)
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._senders: dict[str, Peer] = {}
        self._receivers: dict[str, Peer] = {}

    async def __aenter__(self) -> Flows:
        async with AsyncExitStack() as stack:
            tokens = {name: f"token of {name}".encode() for name in self._names}
            own = await self._lab.udp_socket(_SERVER, buffer_bytes=1 << 22)
            stack.callback(own.close)
            self._listener = Listener(own, tokens, steering.server_config(), self.clock)
            stack.push_async_callback(self._listener.close)
            rng = random.Random(self._cell.seed)
            sockets = {name: await self._lab.udp_socket(name, buffer_bytes=1 << 22) for name in self._names}
            for sock in sockets.values():
                stack.callback(sock.close)
            stack.push_async_callback(self._stop)
            self.clock.start()
            self.spawn(self._accept())
            for index, (name, sock) in enumerate(sockets.items()):
                delay_s = rng.uniform(0, START_S)
                self.spawn(self._send(index, name, sock, own.getsockname(), tokens[name], delay_s))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(coroutine))

    @property
    def received_bytes(self) -> int:
        """By all receivers together."""
        return sum(peer.stats.bytes_received for peer in self._receivers.values())

    @property
    def received_packets(self) -> int:
        return sum(peer.stats.packets_received for peer in self._receivers.values())

    def check(self) -> None:
        """Raises what a task failed with."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def apply(self, change: Change) -> None:
        await self.clock.sleep_until(change.at_s)
        if change.weights is not None:
            steering.reweigh([self._senders[name] for name in self._names], self._cell, change.weights)
            self._weigh(change.weights)
        elif change.rate_bps is not None:
            await self._lab.link(_SERVER).set(direction="ingress", rate_bps=change.rate_bps)
        elif change.outage_s is not None:
            await self._lab.inject(Down(_SERVER), for_s=change.outage_s)

    def _weigh(self, weights: Sequence[float]) -> None:
        """The receiver reports shares by these weights, if the cell's mapping wants that."""
        self._weights = tuple(weights)
        reported = steering.reported_weights(self._cell, weights)
        if reported is not None:
            for name, weight in zip(self._names, reported, strict=True):
                if name in self._receivers:
                    self._receivers[name].weight = weight

    async def sample(self) -> list[float]:
        """Counters in the order of ``Trace``'s fields, the flows' own first."""
        counters = (await self._lab.counters())[_SERVER].ingress
        rate_bps = self._lab.link(_SERVER).shape("ingress").rate_bps or self._cell.rate_bps
        found = [self._receivers.get(name) for name in self._names]
        received = [peer.stats.bytes_received if peer is not None else 0 for peer in found]
        stats = [peer.stats for peer in self._senders.values()]
        return [
            *received,
            counters.bytes,
            sum(one.packets_acked for one in stats),
            sum(one.packets_lost for one in stats),
            sum(one.cuts for one in stats),
            counters.backlog_bytes * 8 / rate_bps,
        ]

    async def _accept(self) -> None:
        while True:
            peer = await self._listener.accept()
            self._receivers[peer.name] = peer
            self._weigh(self._weights)
            self.spawn(self._read(peer))

    async def _read(self, peer: Peer) -> None:
        while True:
            await peer.receive()

    async def _send(
        self, index: int, name: str, sock: Any, address: Any, token: bytes, delay_s: float
    ) -> None:
        """A flow's source: from its beginning it always has something to send."""
        await asyncio.sleep(delay_s)
        config = steering.client_config(self._cell, index)
        peer = await connect(sock, address, name=name, token=token, config=config, clock=self.clock)
        self._senders[name] = peer
        await keep_busy(peer)

    async def _stop(self) -> None:
        for peer in self._senders.values():
            await peer.close()
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception) and not isinstance(error, ConnectionClosed):
                raise error


async def keep_busy(peer: Peer, channel: int = 1) -> None:
    """Sends without end, with so much waiting that the network is what limits it."""
    waiting: deque[Awaitable[None]] = deque()
    try:
        while True:
            peer.send(channel, _PIECE)
            waiting.append(asyncio.ensure_future(peer.drain(channel)))
            if len(waiting) >= _PIECES:
                await waiting.popleft()
    finally:
        await asyncio.gather(*waiting, return_exceptions=True)
