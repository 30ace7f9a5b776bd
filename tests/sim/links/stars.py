"""Simulated labs and their traffic, for the tests of this folder. It imports little, because a test runs it
in processes of its own."""

from __future__ import annotations

import asyncio

from netns import BurstLoss, Down, Lab, LabSpec, LinkSpec, RateCliff, Shape, Trace, TracePoint
from netns.simulated.ports import DatagramPort

UNSHAPED = Shape()


def star(
    *names: str, egress: Shape = UNSHAPED, ingress: Shape = UNSHAPED, seed: int = 0, **options
) -> LabSpec:
    links = tuple(LinkSpec(name, egress=egress, ingress=ingress, **options) for name in names)
    return LabSpec(links=links, engine="simulated", seed=seed)


class Inbox:
    """Keeps the time, the sender and the content of each datagram of a port."""

    def __init__(self, port: DatagramPort) -> None:
        self.got: list[tuple[float, tuple[str, int], bytes]] = []
        self.batches: list[int] = []
        time = asyncio.get_running_loop().time
        port.on_datagram = lambda data, source: self.got.append((time(), source, data))
        port.on_batch = lambda: self.batches.append(len(self.got))

    @property
    def data(self) -> list[bytes]:
        return [data for _, _, data in self.got]


async def everything(seed: int) -> list[object]:
    """A run with every impairment, a trace, faults and a capture: all that can be seen of it."""
    up = Shape(
        rate_bps=1e6,
        queue_s=0.1,
        delay_s=0.02,
        jitter_s=0.01,
        jitter_distribution="pareto",
        burst_loss=BurstLoss.of(0.05, 3),
        reorder=0.05,
        duplicate=0.05,
        corrupt=0.05,
    )
    names = ("c", "a", "b")
    async with Lab(star(*names, "server", egress=up, ingress=Shape(delay_s=0.01), seed=seed)) as lab:
        server = await lab.datagram_port("server", 4711, checksums=False)
        ports = [await lab.datagram_port(name, checksums=False) for name in names]
        inbox = Inbox(server)
        answers = [Inbox(port) for port in ports]
        lab.link("c").replay(Trace((TracePoint(0.0, 5e5), TracePoint(0.3, 0.0), TracePoint(0.5, 2e6)), 0.7))
        outage = lab.schedule(Down("a"), in_s=0.5, for_s=0.2)
        cliff = lab.schedule(RateCliff("b", "egress", 1e5), in_s=0.25, for_s=1.0)
        for number in range(300):
            for port in ports:
                port.send(number.to_bytes(2) + bytes(500), server.address)
            if inbox.got:
                server.send(inbox.data[-1], inbox.got[-1][1])
            await asyncio.sleep(0.005)
        await asyncio.sleep(1.0)
        counters = await lab.counters()
        return [inbox.got, [each.got for each in answers], outage.log, cliff.log, counters]
