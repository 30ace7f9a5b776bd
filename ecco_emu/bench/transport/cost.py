"""The transport's cost: CPU per packet, beside aioquic and the kernel's TCP, and a hundred flows on one core.

The two ends of a transfer are processes of their own; over a shaped link, each is in its own namespace too.
The kinds of transfers take turns, so that other work on the host hits all kinds alike.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import netns
from ecco_emu.bench.transport import endpoints
from ecco_emu.bench.transport.endpoints import EndCost, Transfer, process_cpu
from ecco_emu.bench.transport.experiment import HOST_BPS, PROTOCOLS, Cell, Experiment, Protocol
from ecco_emu.bench.transport.measures import Cost
from ecco_emu.bench.transport.real import NICENESS, Flows, lab_spec
from ecco_emu.bench.transport.records import Record
from ecco_emu.core.errors import EccoError
from ecco_emu.host import event_loop
from ecco_emu.host.loop_lag import LoopLag
from ecco_emu.host.priorities import raised_priority
from ecco_emu.host.workers import WorkerProcess

LINK_BPS = 20e6
"""A rate that every candidate reaches, so that all are compared at the same goodput."""
LINK_QUEUE_S, LINK_RTT_S = 0.05, 0.02
MANY_FLOWS, MANY_BPS = 100, 300e3
"""Of the flows on one core: how many there are, and the rate of each one's uplink."""
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement of cost. ``protocol`` None: many flows of ours, both ends in one process."""

    experiment: Experiment
    protocol: Protocol | None

    @property
    def loopback(self) -> bool:
        """Whether the two ends are on the host's own loopback, without a lab."""
        return self.experiment.cell.rate_bps == HOST_BPS


def cases(repeats: int, warmup_s: float = 3.0, measure_s: float = 10.0) -> list[Case]:
    """Every kind of measurement once, then every kind again, ``repeats`` times."""
    found = []
    for seed in range(repeats):
        link = Cell(
            (1,), LINK_BPS, LINK_QUEUE_S, (LINK_RTT_S,), seed=seed, warmup_s=warmup_s, measure_s=measure_s
        )
        loopback = Cell((1,), HOST_BPS, 1e-3, (0.0,), seed=seed, warmup_s=warmup_s, measure_s=measure_s)
        name = f"{LINK_BPS / 1e6:g} Mbit/s, RTT {LINK_RTT_S * 1e3:g} ms, queue {LINK_QUEUE_S * 1e3:g} ms"
        found += [Case(Experiment("cost", f"{one}: {name}", link), one) for one in PROTOCOLS]
        found += [Case(Experiment("cost", f"{one}: loopback", loopback), one) for one in PROTOCOLS[:2]]
        many = f"{MANY_FLOWS} flows of {MANY_BPS / 1e3:g} kbit/s on one core"
        found.append(Case(Experiment("cost", many, _many_cell(seed, warmup_s, measure_s)), None))
    return found


def _many_cell(seed: int, warmup_s: float, measure_s: float) -> Cell:
    ones = (1.0,) * MANY_FLOWS
    return Cell(
        ones,
        2 * MANY_FLOWS * MANY_BPS,
        LINK_QUEUE_S,
        (0.0,) * MANY_FLOWS,
        uplinks_bps=(MANY_BPS,) * MANY_FLOWS,
        alpha_sum=float(MANY_FLOWS),
        seed=seed,
        warmup_s=warmup_s,
        measure_s=measure_s,
    )


async def perform(case: Case) -> Record:
    """Measures one case. A case that this host cannot measure is recorded with the reason, not raised."""
    started = time.monotonic()
    reason = endpoints.missing(case.protocol) if case.protocol is not None else None
    if reason is not None:
        return Record(case.experiment, "real", unsupported=reason)
    try:
        cost = await _measure(case)
    except (netns.LabError, EccoError, TimeoutError) as error:
        return Record(case.experiment, "real", unsupported=str(error) or repr(error))
    return Record(case.experiment, "real", cost=cost, took_s=time.monotonic() - started)


async def _measure(case: Case) -> Cost:
    cell = case.experiment.cell
    if case.protocol is None:
        worker = WorkerProcess("many flows", niceness=NICENESS)
        try:
            return await worker.call(many_flows, cell)
        finally:
            worker.close()
    if case.loopback:
        return await _transfer(case.protocol, cell, (None, _LOOPBACK), (None, _LOOPBACK))
    async with netns.Lab(lab_spec(cell)) as lab:
        ends = [(lab.namespace_path(node), lab.address(node)) for node in ("cam0", "server")]
        return await _transfer(case.protocol, cell, *ends)


End = tuple[str | None, str]
"""A namespace and the address in it."""


async def _transfer(protocol: Protocol, cell: Cell, sender: End, receiver: End) -> Cost:
    async with AsyncExitStack() as stack:
        calls = []
        for function, (namespace, address) in ((endpoints.receive, receiver), (endpoints.send, sender)):
            worker = WorkerProcess(f"one end of {protocol}")
            stack.callback(worker.close)
            todo = Transfer(protocol, namespace, address, receiver[1], cell.warmup_s, cell.measure_s)
            calls.append(worker.call(function, todo))
        received, sent = await asyncio.gather(*calls)
    return _cost(protocol, received, sent)


def _cost(protocol: Protocol, received: EndCost, sent: EndCost) -> Cost:
    cpu = received.cpu_s / received.wall_s + sent.cpu_s / sent.wall_s
    goodput_bps = received.bytes * 8 / received.wall_s
    packets = received.packets
    system_s, cpu_s = received.system_s + sent.system_s, received.cpu_s + sent.cpu_s
    return Cost(
        protocol=protocol,
        goodput_bps=goodput_bps,
        cpu=cpu,
        goodput_per_cpu_bps=goodput_bps / cpu if cpu else 0.0,
        system=system_s / cpu_s if cpu_s else 0.0,
        us_per_packet=1e6 * cpu * received.wall_s / packets if packets else None,
    )


def many_flows(cell: Cell) -> Cost:
    """The cost of all flows of a cell with both ends in the calling process, which is confined to one core.
    Raises ``netns.LabError``."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return event_loop.run(_many_flows(cell))


async def _many_flows(cell: Cell) -> Cost:
    """On a loop as a run has it: at real-time priority, and without garbage collection of long-lived
    objects."""
    async with AsyncExitStack() as stack:
        stack.enter_context(raised_priority())
        lab = await stack.enter_async_context(netns.Lab(lab_spec(cell)))
        flows = await stack.enter_async_context(Flows(cell, lab))
        gc.freeze()
        stack.callback(gc.unfreeze)
        await asyncio.sleep(cell.warmup_s)
        lag = LoopLag()
        flows.spawn(lag.run())
        before, start_s = process_cpu(), time.monotonic()
        count, packets = flows.received_bytes, flows.received_packets
        await asyncio.sleep(cell.measure_s)
        flows.check()
        wall_s = time.monotonic() - start_s
        cpu_s, system_s = (now - then for now, then in zip(process_cpu(), before, strict=True))
        goodput_bps = (flows.received_bytes - count) * 8 / wall_s
        packets = flows.received_packets - packets
        return Cost(
            protocol=None,
            goodput_bps=goodput_bps,
            cpu=cpu_s / wall_s,
            goodput_per_cpu_bps=goodput_bps * wall_s / cpu_s,
            system=system_s / cpu_s,
            us_per_packet=1e6 * cpu_s / packets if packets else None,
            lag_p50_s=lag.quantile_ms(0.5) / 1e3,
            lag_p99_s=lag.quantile_ms(0.99) / 1e3,
        )


async def run(todo: list[Case], on_record: Callable[[Record], None]) -> None:
    """Measures the cases one after the other, because each needs the whole host."""
    for case in todo:
        on_record(await perform(case))
