"""Every engine changes, cuts and joins a link in the same way while packets are on it."""

from __future__ import annotations

import asyncio

import pytest

from netns import BurstLoss, CapabilityError, Lab, LabSpec, LinkSpec, Shape
from tests.integration.netns.traffic import (
    TIMING,
    arrived,
    drain,
    numbers,
    pair,
    round_trips_s,
    send,
    settled,
    two,
)

EVERYTHING = {
    "delay_s": 0.02,
    "jitter_s": 0.02,
    "jitter_distribution": "normal",
    "burst_loss": BurstLoss.of(0.5, 10),
    "reorder": 0.5,
    "duplicate": 0.5,
    "corrupt": 0.5,
}
NOTHING = {
    "delay_s": 0.0,
    "jitter_s": 0.0,
    "jitter_distribution": "uniform",
    "burst_loss": None,
    "reorder": 0.0,
    "duplicate": 0.0,
    "corrupt": 0.0,
}


async def test_nothing_sticks_when_it_is_taken_away(engine):
    async with Lab(two(live=True, engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            await lab.link("cam").set(direction="egress", **EVERYTHING)
            await send(sender, receiver, 200)
            await settled(receiver)
            await lab.link("cam").set(direction="egress", **NOTHING)
            assert lab.link("cam").shape("egress") == Shape()
            await send(sender, receiver, 500, size=500)
            assert numbers(await settled(receiver)) == list(range(500))


async def test_a_change_keeps_what_is_queued(engine):
    # 20 packets of 1000 bytes at 80 kbit/s take 2 s
    async with Lab(two(Shape(rate_bps=80e3, queue_s=10.0), live=True, engine=engine)) as lab:
        link = lab.link("cam")
        sender, receiver = await pair(lab)
        with sender, receiver:
            await send(sender, receiver, 20, size=958)
            for rate_bps in (100e3, 120e3, 90e3):
                await link.set(direction="egress", rate_bps=rate_bps, delay_s=0.01)
                await asyncio.sleep(0.05)
            await link.set(direction="egress", rate_bps=None, delay_s=0.0, queue_bytes=3000)
            assert numbers(await arrived(receiver, 20, timeout_s=10)) == list(range(20))
            counters = (await lab.counters())["cam"].egress
            assert (counters.packets, counters.drops) == (20, 0)
            await link.set(direction="egress", rate_bps=1e6)
            await send(sender, receiver, 1)
            assert len(await arrived(receiver, 1)) == 1


async def test_a_shorter_delay_overtakes_nothing(engine):
    async with Lab(two(Shape(delay_s=1.0, jitter_s=0.001), engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            await send(sender, receiver, 10)
            await lab.link("cam").set(direction="egress", delay_s=0.01)
            for number in range(10, 20):
                sender.send(number.to_bytes(4, "little"), receiver)
            assert numbers(await arrived(receiver, 20)) == list(range(20))


async def test_each_direction_is_changed_on_its_own(engine):
    async with Lab(two(live=True, engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            await lab.link("cam").set(direction="ingress", loss=1.0)
            await send(sender, receiver, 10)
            assert len(await arrived(receiver, 10)) == 10
            await send(receiver, sender, 10)
            assert await settled(sender) == []
            await lab.link("cam").set(direction="both", loss=0.0, delay_s=0.01)
            times = await round_trips_s(sender, receiver, 5)
    assert min(times) >= 0.0199
    if TIMING:
        assert min(times) < 0.03


async def test_a_plain_link_cannot_be_impaired_later(engine):
    async with Lab(two(Shape(rate_bps=1e6), engine=engine)) as lab:
        with pytest.raises(CapabilityError, match="live_impairments"):
            await lab.link("cam").set(loss=0.1)
        assert lab.link("cam").shape("egress") == Shape(rate_bps=1e6)


@pytest.mark.parametrize("live", [False, True], ids=["plain", "impairable"])
async def test_down_and_up_leave_sockets_working(engine, live):
    async with Lab(two(Shape(rate_bps=5e6), live=live, engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            for _ in range(3):
                await send(sender, receiver, 1)
                assert len(await arrived(receiver, 1)) == 1
                await lab.link("cam").down()
                await send(sender, receiver, 1)
                await send(receiver, sender, 1)
                await asyncio.sleep(0.05)
                assert drain(receiver) + drain(sender) == []
                await lab.link("cam").up()
                await send(receiver, sender, 1)
                assert len(await arrived(sender, 1)) == 1


async def test_a_cut_link_loses_what_was_under_way_and_counts_it(engine):
    # 20 packets at 80 kbit/s take 2 s, so most are in the queue of the server's ingress when it is cut
    slow = Shape(rate_bps=80e3, queue_s=10.0, delay_s=0.05)
    spec = LabSpec(links=(LinkSpec("cam"), LinkSpec("server", ingress=slow)), engine=engine)
    async with Lab(spec) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            await send(sender, receiver, 20, size=958)
            got = len(await arrived(receiver, 2))
            await lab.link("server").down()
            await asyncio.sleep(0.05)
            got += len(drain(receiver))
            assert await settled(receiver, 0.3) == []
            await send(receiver, sender, 1, size=958)
            await asyncio.sleep(0.2)
            counters = (await lab.counters())["server"]
            assert (counters.egress.packets, counters.egress.drops) == (0, 1)
            assert (counters.ingress.packets, counters.ingress.drops) == (got, 20 - got)
            assert counters.ingress.backlog_bytes == 0
            await lab.link("server").up()
            await lab.link("server").up()
            await send(receiver, sender, 1)
            assert len(await arrived(sender, 1)) == 1
            await send(sender, receiver, 1)
            assert len(await arrived(receiver, 1)) == 1
            counters = (await lab.counters())["server"]
            assert (counters.egress.packets, counters.egress.drops) == (1, 1)
