"""Experiments over real kernel queues: a lab of network namespaces for each. Needs root's privileges.

Each flow is a node whose own link has half the round trip and the random loss, each way, as in ``simulated``.
The bottleneck is the server's ingress. Random loss is on the nodes' links because a packet then meets it
before the queue, with both engines of the lab, and passes through the relay process once instead of twice.
Senders and receivers of all flows share one process and one event loop.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from ecco_emu.bench.transport import steering
from ecco_emu.bench.transport.experiment import UPLINK_QUEUE_S, Cell, Change
from ecco_emu.bench.transport.measures import CellTrace, Result, evaluate
from ecco_emu.core.errors import HostError
from ecco_emu.host import event_loop
from ecco_emu.host.clock import RunClock
from ecco_emu.host.loop_lag import LoopLag
from ecco_emu.transport import ConnectionClosed, Listener, Peer, connect
from netns import Down, Lab, LabError, LabSpec, LinkSpec, Shape

STEP_S, CHANGE_STEP_S = 0.5, 0.1
"""Between two samples of the counters, without a change and with one. A sample takes about 0.2 ms of CPU for
each link, and the flows may have to wait for it; hence the longer step where no response has to be timed."""
NICENESS = -10
"""Of the processes with the flows: as in an emulation, they have precedence over the host's other
processes."""
START_S = 1.0
"""Flows begin at random times within the first second."""
_SERVER = "server"
_PIECE = bytes(32 * 1024)
_PIECES = 40
"""The number of a source's pieces that wait or are in flight: more than the transport's window of 1 MiB."""


def run_cell(cell: Cell) -> Result:
    """The figures of a cell, run in the calling process. Raises ``HostError``."""
    return evaluate(cell, run_trace(cell))


def run_trace(cell: Cell, change: Change | None = None) -> CellTrace:
    """As ``trace``, on an event loop of its own. Raises ``HostError`` for a lab that cannot be built."""
    try:
        return event_loop.run(trace(cell, change))
    except LabError as error:
        raise HostError(str(error)) from error


def lab_spec(cell: Cell) -> LabSpec:
    """The lab of a cell: a node ``cam0``, ``cam1``, … for each flow, and ``server``."""
    links = []
    for index, (rtt_s, uplink_bps) in enumerate(zip(cell.rtts_s, cell.uplinks, strict=True)):
        queue_s = None if uplink_bps is None else UPLINK_QUEUE_S
        egress = Shape(rate_bps=uplink_bps, queue_s=queue_s, delay_s=rtt_s / 2, loss=cell.loss)
        links.append(LinkSpec(f"cam{index}", egress=egress, ingress=Shape(delay_s=rtt_s / 2, loss=cell.loss)))
    bottleneck = Shape(rate_bps=cell.rate_bps, queue_s=cell.queue_s)
    return LabSpec(links=(*links, LinkSpec(_SERVER, ingress=bottleneck)), seed=cell.seed)


async def trace(cell: Cell, change: Change | None = None) -> CellTrace:
    """The counters of a cell, run on the running event loop; ``change`` is applied when it is due.

    Raises ``netns.LabError`` for a lab that cannot be built.
    """
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
    counted = CellTrace.of(times, samples, len(cell.weights))
    return replace(counted, lag_p99_s=lag.quantile_ms(0.99) / 1e3)


class Flows:
    """The flows of a cell on its lab. An asynchronous context manager: they begin within ``START_S`` after it
    is entered, and leaving it closes their connections and sockets."""

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
        """Runs a coroutine until the flows are closed; see ``check`` for its failures."""
        self._tasks.append(asyncio.create_task(coroutine))

    @property
    def received_bytes(self) -> int:
        """Of datagrams, by all receivers together."""
        return sum(peer.stats.bytes_received for peer in self._receivers.values())

    @property
    def received_packets(self) -> int:
        return sum(peer.stats.packets_received for peer in self._receivers.values())

    def check(self) -> None:
        """Raises the exception of a flow, or of a coroutine of ``spawn``, that failed."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def apply(self, change: Change) -> None:
        """Waits until ``change`` is due, and applies it."""
        await self.clock.sleep_until(change.at_s)
        if change.weights is not None:
            steering.reweigh([self._senders[name] for name in self._names], self._cell, change.weights)
            self._weigh(change.weights)
        elif change.rate_bps is not None:
            await self._lab.link(_SERVER).set(direction="ingress", rate_bps=change.rate_bps)
        elif change.outage_s is not None:
            await self._lab.inject(Down(_SERVER), for_s=change.outage_s)

    def _weigh(self, weights: Sequence[float]) -> None:
        """The receiver uses these weights when it reports shares, if the cell's mapping has shares
        reported."""
        self._weights = tuple(weights)
        reported = steering.reported_weights(self._cell, weights)
        if reported is not None:
            for name, weight in zip(self._names, reported, strict=True):
                if name in self._receivers:
                    self._receivers[name].weight = weight

    async def sample(self) -> list[float]:
        """The counters in the order that ``CellTrace.of`` wants."""
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
            self._weigh(self._weights)  # again for all: this connection has just joined them
            self.spawn(self._read(peer))

    async def _read(self, peer: Peer) -> None:
        while True:
            await peer.receive()

    async def _send(
        self, index: int, name: str, sock: Any, address: Any, token: bytes, delay_s: float
    ) -> None:
        """A flow: after ``delay_s`` it connects, and from then on it always has something to send."""
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
    """Sends without end, always so far ahead that only the network limits the rate."""
    waiting: deque[Awaitable[None]] = deque()
    try:
        while True:
            peer.send(channel, _PIECE)
            waiting.append(asyncio.ensure_future(peer.drain(channel)))
            if len(waiting) >= _PIECES:
                await waiting.popleft()
    finally:
        await asyncio.gather(*waiting, return_exceptions=True)
