"""How true the lab is: its rates, fixed, changing and replayed; its delays and losses; the times of
faults."""

from __future__ import annotations

import asyncio
import itertools
import math
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ecco_emu.bench.measurement import Measurement
from ecco_emu.bench.net.traffic import Received, busy_cpus, exchange, stamping
from netns.faults import Down
from netns.lab import Lab
from netns.spec import LabSpec, LinkSpec, Shape
from netns.traces import Trace, TracePoint

_SETTLING_S = 0.5
"""At the beginning the queue is still empty and the sender may be late; that does not count."""
_FULL_FRAME_BYTES = 1514
LINKS = 22
"""Cameras of a lab with many."""


@asynccontextmanager
async def _flooded(
    shape: Shape, offered_bps: float, for_s: float, frame_bytes: int = _FULL_FRAME_BYTES
) -> AsyncIterator[tuple[Lab, asyncio.Task[list[Received]]]]:
    """A lab with one shaped link that is offered more than it carries, and the task that sends and
    receives."""
    spec = LabSpec(links=(LinkSpec("cam", egress=shape), LinkSpec("server")))
    async with Lab(spec) as lab:
        sender = await lab.udp_socket("cam")
        receiver = stamping(await lab.udp_socket("server", buffer_bytes=1 << 24))
        with sender, receiver:
            sending = asyncio.create_task(
                asyncio.to_thread(
                    exchange,
                    [(sender, receiver)],
                    rate_bps=offered_bps,
                    for_s=for_s,
                    frame_bytes=frame_bytes,
                )
            )
            try:
                yield lab, sending
            finally:
                await sending


async def rate_errors(seconds: float = 10.0) -> list[Measurement]:
    """The error of a link's rate over ``seconds``, while 1.5 times the rate is offered."""
    figures = []
    for rate_bps in (200e3, 1e6, 10e6, 100e6):
        shape = Shape(rate_bps=rate_bps, queue_s=0.1)
        async with _flooded(shape, 1.5 * rate_bps, seconds + 2 * _SETTLING_S) as (_, sending):
            received = (await sending)[0]
        times = [at for at in received.times if 0 <= at - received.times[0] - _SETTLING_S <= seconds]
        carried = (len(times) - 1) * received.frame_bytes * 8 / (times[-1] - times[0])
        error = 100 * abs(carried / rate_bps - 1)
        figures.append(Measurement(f"rate error at {rate_bps / 1e6:g} Mbit/s", error, "%", 0.5))
    return figures


async def changing_rate_error(seconds: float = 10.0, every_s: float = 0.1) -> list[Measurement]:
    """The error of the mean rate of a link whose rate alternates between two values every ``every_s``."""
    rates = (2e6, 5e6)
    changes: list[float] = []
    async with _flooded(Shape(rate_bps=rates[0], queue_s=0.3), 8e6, seconds) as (lab, sending):
        start = time.monotonic()
        while time.monotonic() - start < seconds - 2 * _SETTLING_S:
            await lab.link("cam").set(direction="egress", rate_bps=rates[len(changes) % 2])
            changes.append(time.time())
            await asyncio.sleep(max(0.0, start + len(changes) * every_s - time.monotonic()))
        received = (await sending)[0]
    begin, end = changes[5], changes[-1]  # by the sixth change the queue is full
    allowed = sum(
        rates[index % 2] * (after - before)
        for index, (before, after) in enumerate(itertools.pairwise(changes))
        if before >= begin
    )
    carried = sum(begin <= at < end for at in received.times) * received.frame_bytes * 8
    return [
        Measurement(f"rate error, changed every {every_s:g} s", 100 * abs(carried / allowed - 1), "%", 2.0)
    ]


async def trace_errors(trace: Trace, name: str, seconds: int = 10) -> list[Measurement]:
    """Errors of the rate in each second of a replayed trace. The trace's delays and losses are left out."""
    rates = Trace(tuple(TracePoint(point.time_s, point.rate_bps) for point in trace.points), trace.duration_s)
    peak_bps = max(point.rate_bps or 0.0 for point in rates.points if point.time_s < seconds)
    shape = Shape(rate_bps=peak_bps, queue_s=0.2)
    async with _flooded(shape, 1.2 * peak_bps, seconds + 2.5, frame_bytes=400) as (lab, sending):
        await asyncio.sleep(1.0)
        begin = time.time()
        playback = lab.link("cam").replay(rates)
        await asyncio.sleep(seconds + 0.5)
        await playback.stop()
        received = (await sending)[0]
    errors = []
    for second in range(seconds):
        said = rates.bits_until(second + 1) - rates.bits_until(second)
        frames = sum(begin + second <= at < begin + second + 1 for at in received.times)
        if said:
            errors.append(100 * abs(frames * received.frame_bytes * 8 / said - 1))
    return [
        Measurement(f"trace {name}, worst second of {seconds}", max(errors), "%", 2.0),
        Measurement(f"trace {name}, mean second", statistics.fmean(errors), "%"),
    ]


async def delay_and_loss(
    seconds: float = 10.0, delay_s: float = 0.02, loss: float = 0.01
) -> list[Measurement]:
    """Errors of the one-way delay of many links, with idle and with busy CPUs, and of a loss rate.

    The loss is judged in standard deviations of a binomial count; the target is its two-sided 99 % bound.
    """
    figures = []
    for busy in (False, True):
        received, _ = await _cameras(Shape(delay_s=delay_s), seconds, busy)
        errors_ms = sorted(1e3 * abs(taken - delay_s) for one in received for taken in one.delays_s)
        where = f"{LINKS} links at 1 Mbit/s{', CPUs busy' if busy else ''}"
        figures += [
            Measurement(f"delay error, median, {where}", statistics.median(errors_ms), "ms", 0.3),
            Measurement(f"delay error, p99, {where}", errors_ms[int(0.99 * len(errors_ms))], "ms", 1.0),
        ]
    received, sent = await _cameras(Shape(loss=loss), seconds, busy=False)
    lost = sent - sum(len(one.times) for one in received)
    deviations = abs(lost - sent * loss) / math.sqrt(sent * loss * (1 - loss))
    figures.append(
        Measurement(f"loss of {100 * loss:g} %, {sent} packets, in deviations", deviations, "σ", 2.576)
    )
    return figures


async def _cameras(shape: Shape, seconds: float, busy: bool) -> tuple[list[Received], int]:
    links = tuple(LinkSpec(f"cam{number}", egress=shape) for number in range(LINKS))
    async with Lab(LabSpec(links=(*links, LinkSpec("server")))) as lab:
        pairs = [
            (await lab.udp_socket(link.name), stamping(await lab.udp_socket("server", buffer_bytes=1 << 22)))
            for link in links
        ]

        def run() -> list[Received]:
            if not busy:
                return exchange(pairs, rate_bps=1e6, for_s=seconds)
            with busy_cpus():
                return exchange(pairs, rate_bps=1e6, for_s=seconds)

        try:
            received = await asyncio.to_thread(run)
        finally:
            for pair in pairs:
                for sock in pair:
                    sock.close()
        counters = await lab.counters()
        sent = sum(counters[link.name].egress.packets + counters[link.name].egress.drops for link in links)
        return received, sent


async def fault_times(count: int = 100) -> list[Measurement]:
    """How late ``count`` faults are applied while every CPU is busy."""
    links = tuple(LinkSpec(f"cam{number}", egress=Shape(rate_bps=1e6)) for number in range(LINKS))
    # The kernel may still be removing earlier labs. Meanwhile it holds the lock (rtnl) that a change needs.
    await asyncio.sleep(2.0)
    async with Lab(LabSpec(links=links)) as lab:
        handles = [
            lab.schedule(Down(f"cam{number % LINKS}"), in_s=0.2 + 0.05 * number, for_s=0.02)
            for number in range(count)
        ]
        with busy_cpus():
            for handle in handles:
                await handle.ended()
    late_ms = sorted(1e3 * (one.applied_s - one.requested_s) for handle in handles for one in handle.log)
    where = f"{len(late_ms)} changes, CPUs busy"
    return [
        Measurement(f"fault late, median, {where}", statistics.median(late_ms), "ms"),
        Measurement(f"fault late, p99, {where}", late_ms[int(0.99 * len(late_ms))], "ms", 5.0),
    ]
