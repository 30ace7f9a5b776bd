"""Every engine keeps its rates, while they change too."""

from __future__ import annotations

import asyncio
import itertools
import statistics

import pytest

from netns import Lab, LabSpec, LinkSpec, Shape
from tests.integration.netns.traffic import (
    TIMING,
    arrived,
    clock,
    drain,
    flooded_rate_bps,
    pair,
    round_trips_s,
    two,
)

pytestmark = pytest.mark.skipif(not TIMING, reason="timing means nothing here")


@pytest.mark.parametrize("rate_bps", [200e3, 2e6, 10e6])
async def test_the_rate_is_right(engine, rate_bps):
    async with Lab(two(egress=Shape(rate_bps=rate_bps, queue_s=0.2), engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            # enough though the sender be held up
            measured = await flooded_rate_bps(sender, receiver, 3 * rate_bps, 3.0)
        counters = await lab.counters()
    assert measured == pytest.approx(rate_bps, rel=0.02)
    assert counters["cam"].egress.drops > 0


async def test_a_shared_bottleneck_is_the_servers_ingress(engine):
    server = LinkSpec("server", ingress=Shape(rate_bps=4e6, queue_s=0.1))
    async with Lab(LabSpec(links=(LinkSpec("cam"), server), engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            measured = await flooded_rate_bps(sender, receiver, 12e6, 2.0)
        counters = await lab.counters()
    assert measured == pytest.approx(4e6, rel=0.02)
    assert counters["server"].ingress.drops > 0
    assert counters["cam"].egress.drops == 0


async def test_changes_take_effect_at_once(engine):
    async with Lab(two(egress=Shape(rate_bps=2e6, queue_s=0.1, delay_s=0.001), engine=engine)) as lab:
        link = lab.link("cam")
        sender, receiver = await pair(lab)
        with sender, receiver:
            await link.set(direction="egress", rate_bps=5e6)
            assert await flooded_rate_bps(sender, receiver, 8e6, 1.5) == pytest.approx(5e6, rel=0.03)
            await link.set(direction="both", rate_bps=None, delay_s=0.03)
            assert link.shape("egress") == Shape(queue_s=0.1, delay_s=0.03)
            await asyncio.sleep(0.3)
            drain(receiver)
            assert statistics.median(await round_trips_s(sender, receiver)) == pytest.approx(0.06, abs=0.003)
            await link.set(direction="egress", loss=1.0)
            sender.send(b"lost", receiver)
            assert await arrived(receiver, 1, timeout_s=0.1) == []


async def test_counters_are_exact_for_packets_that_arrive(engine):
    async with Lab(two(egress=Shape(rate_bps=1e7, delay_s=0.001), engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            for _ in range(10):
                sender.send(bytes(958), receiver)
            assert len(await arrived(receiver, 10)) == 10
            counters = await lab.counters()
    assert (counters["cam"].egress.packets, counters["cam"].egress.bytes) == (10, 10_000)
    assert (counters["server"].ingress.packets, counters["server"].ingress.bytes) == (10, 10_000)
    assert counters["cam"].egress.drops == 0
    assert counters["cam"].egress.backlog_bytes == 0
    assert counters["cam"].ingress.packets == 0


async def test_a_rate_that_changes_all_the_time_is_right_on_average(engine):
    """With a tbf, whose bucket is filled by every change, this rate would be 4 to 8 % too high."""
    rates = (1e6, 2e6)
    async with Lab(two(Shape(rate_bps=rates[0], queue_s=0.3), engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            start = clock()
            sent, changes, found = 0, [], []
            while (now := clock()) - start < 4.0:
                if now >= start + 0.1 * len(changes):
                    await lab.link("cam").set(direction="egress", rate_bps=rates[len(changes) % 2])
                    changes.append(sender.now())
                while sent * 1042 * 8 / 3e6 < now - start:
                    sender.send(bytes(1000), receiver)
                    sent += 1
                found += drain(receiver)
                await asyncio.sleep(0.002)
    begin, end = changes[4], changes[-2]
    allowed = sum(
        rates[index % 2] * (after - before)
        for index, (before, after) in enumerate(itertools.pairwise(changes))
        if begin <= before and after <= end
    )
    carried = 1042 * 8 * sum(1 for at, _ in found if begin <= at < end)
    assert carried == pytest.approx(allowed, rel=0.02)
