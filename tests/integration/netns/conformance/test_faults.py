"""Faults and traces begin, end and overlap on every engine, and their handles say when."""

from __future__ import annotations

import asyncio
import contextlib
import statistics

import pytest

from netns import (
    Blackhole,
    CapabilityError,
    Down,
    Flap,
    Lab,
    LabSpec,
    LinkSpec,
    Partition,
    RateCliff,
    Shape,
    SpecError,
    Trace,
    TracePoint,
)
from tests.integration.netns.traffic import (
    TIMING,
    arrived,
    drain,
    endpoint,
    flooded_rate_bps,
    pair,
    send,
    two,
)

SLOWNESS = 1 if TIMING else 4


async def passes(sender, receiver) -> bool:
    drain(receiver)
    await send(sender, receiver, 1)
    return len(await arrived(receiver, 1, timeout_s=0.15 * SLOWNESS)) == 1


async def test_down_for_a_time_and_on_a_schedule(engine):
    async with Lab(two(live=True, engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            handle = await lab.inject(Down("cam"), for_s=0.5 * SLOWNESS)
            assert not await passes(sender, receiver)
            await handle.ended()
            assert await passes(sender, receiver)
            later = lab.schedule(Down("cam", "server"), in_s=0.3 * SLOWNESS)
            assert await passes(sender, receiver)
            await later.ended()
            assert not await passes(sender, receiver)
            await later.end()
            await later.end()
            assert await passes(sender, receiver)
    begun, ended = handle.log
    assert (begun.breaks, ended.breaks) == (True, False)
    assert ended.requested_s - begun.requested_s == pytest.approx(0.5 * SLOWNESS)
    for applied in (*handle.log, *later.log):
        assert 0 <= applied.applied_s - applied.requested_s < 0.05 * SLOWNESS**2


async def test_overlapping_faults_end_on_their_own(engine):
    async with Lab(two(live=True, engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            short = await lab.inject(Down("cam"), for_s=0.1)
            long = await lab.inject(Down("cam"))
            await short.ended()
            assert not await passes(sender, receiver)
            await long.end()
            assert await passes(sender, receiver)
            await lab.inject(Down("cam"))
            await lab.link("cam").up()  # whoever has cut it
            assert await passes(sender, receiver)


async def test_a_flap_goes_up_and_down(engine):
    async with Lab(two(live=True, engine=engine)) as lab:
        handle = await lab.inject(Flap("cam", down_s=0.05, up_s=0.05, times=3))
        await handle.ended()
        sender, receiver = await pair(lab)
        with sender, receiver:
            assert await passes(sender, receiver)
    assert [applied.breaks for applied in handle.log] == [True, False] * 3


async def test_rate_cliffs_take_the_lowest_and_give_back_what_was_set_meanwhile(engine):
    async with Lab(two(Shape(rate_bps=8e6, queue_s=0.1), live=True, engine=engine)) as lab:
        link = lab.link("cam")
        first = await lab.inject(RateCliff("cam", "egress", 2e6))
        second = await lab.inject(RateCliff("cam", "egress", 1e6))
        assert link.shape("egress").rate_bps == 1e6
        await link.set(direction="egress", rate_bps=4e6)
        assert link.shape("egress").rate_bps == 1e6
        sender, receiver = await pair(lab)
        with sender, receiver:
            assert await flooded_rate_bps(sender, receiver, 2e6, 1.5) < 1.2e6
        await second.end()
        assert link.shape("egress").rate_bps == 2e6
        await first.end()
        assert link.shape("egress") == Shape(rate_bps=4e6, queue_s=0.1)


async def test_a_partition_parts_two_sets_and_no_others(engine):
    names = ("a", "b", "c", "d")
    spec = LabSpec(links=tuple(LinkSpec(name) for name in names), engine=engine)
    async with Lab(spec) as lab:
        with contextlib.ExitStack() as stack:
            ends = {name: stack.enter_context(await endpoint(lab, name)) for name in names}

            async def reached(source: str) -> set[str]:
                for target in names:
                    ends[source].send(b"x", ends[target])
                await asyncio.sleep(0.1 * SLOWNESS)
                return {name for name in names if drain(ends[name])}

            handle = await lab.inject(Partition({"a", "b"}, {"c"}), for_s=1.0 * SLOWNESS)
            assert await reached("a") == {"a", "b", "d"}
            assert await reached("c") == {"c", "d"}
            assert await reached("d") == set(names)
            await handle.ended()
            assert await reached("a") == set(names)


@pytest.mark.parametrize("direction", ["egress", "ingress"])
async def test_a_blackhole_swallows_one_direction(engine, direction):
    async with Lab(two(live=True, engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            handle = await lab.inject(Blackhole("cam", direction))
            assert await passes(sender, receiver) is (direction == "ingress")
            assert await passes(receiver, sender) is (direction == "egress")
            await handle.end()
            assert await passes(sender, receiver)
            assert await passes(receiver, sender)


async def test_a_fault_that_cannot_be(engine):
    async with Lab(two(engine=engine)) as lab:
        with pytest.raises(SpecError, match=r"no node cam9; there are cam, server"):
            await lab.inject(Down("cam", "cam9"))
        with pytest.raises(SpecError, match="cannot last"):
            await lab.inject(Down("cam"), for_s=0)
        with pytest.raises(SpecError, match="cannot begin"):
            lab.schedule(Down("cam"), in_s=-1)


async def test_what_is_scheduled_ends_with_the_lab(engine):
    async with Lab(two(engine=engine)) as lab:
        handle = lab.schedule(Down("cam"), in_s=3600)
        trace = Trace((TracePoint(0.0, 1e6),), 3600.0)
        playback = lab.link("cam").replay(trace, loop=False)
    await asyncio.wait_for(handle.ended(), 5)
    await asyncio.wait_for(playback.ended(), 5)
    assert handle.log == []


async def test_a_trace_sets_rate_delay_and_loss_and_ends(engine):
    trace = Trace(
        (TracePoint(0.0, 1e6, 0.05, 0.0), TracePoint(0.4, 2e6), TracePoint(0.6, 3e6, 0.01, 1.0)),
        0.8,
    )
    async with Lab(two(Shape(queue_s=0.1), live=True, engine=engine)) as lab:
        link = lab.link("cam")
        playback = link.replay(trace, loop=False)
        await asyncio.sleep(0.1)
        if TIMING:
            assert link.shape("egress") == Shape(rate_bps=1e6, queue_s=0.1, delay_s=0.05)
        await playback.ended()
        assert link.shape("egress") == Shape(rate_bps=3e6, queue_s=0.1, delay_s=0.01, loss=1.0)
        looped = link.replay(trace, direction="ingress")
        await asyncio.sleep(0.9)
        assert link.shape("ingress").rate_bps in (1e6, 2e6, 3e6)
        assert 0 <= looped.position_s < 0.8
        await looped.stop()
        await looped.ended()


async def test_a_trace_that_the_link_cannot_follow_is_refused_at_once(engine):
    async with Lab(two(Shape(rate_bps=1e6), engine=engine)) as lab:
        with pytest.raises(CapabilityError, match="live_impairments"):
            lab.link("cam").replay(Trace((TracePoint(0.0, 1e6), TracePoint(5.0, loss=0.1)), 10.0))
        with pytest.raises(SpecError, match="egress or ingress"):
            lab.link("cam").replay(Trace((TracePoint(0.0, 1e6),), 10.0), direction="both")


async def test_an_outage_ends_when_the_trace_says(engine):
    if not TIMING:
        pytest.skip("timing means nothing here")
    # A slow stretch before and one after each silence, whose frames must not keep the link closed afterwards.
    # What is measured begins and ends 0.3 s after the beginning of a turn, in a fast stretch.
    rates = [121_120.0, 6e6, 6e6, 6e6, 121_120.0, 0.0, 0.0, 0.0, 60e3, 6e6]
    trace = Trace(tuple(TracePoint(0.1 * index, rate) for index, rate in enumerate(rates)), 1.0)
    async with Lab(two(Shape(rate_bps=1e6, queue_bytes=60_000), engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            playback = lab.link("cam").replay(trace)
            measured = await flooded_rate_bps(sender, receiver, 8e6, 5.31)
            await playback.stop()
    assert measured == pytest.approx(statistics.fmean(rates), rel=0.04)


async def test_nothing_passes_in_an_outage_and_nothing_is_lost(engine):
    # The second point is never reached; the playback is stopped in the outage.
    trace = Trace((TracePoint(0.0, 0.0), TracePoint(3000.0, 8e6)), 3600.0)
    shape = Shape(rate_bps=8e6, queue_s=0.5)
    async with Lab(two(shape, shape, engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            playback = lab.link("cam").replay(trace)
            await playback.stop()
            # A change of both directions leaves the outage in its own one.
            await lab.link("cam").set(queue_s=0.4)
            receiver.send(b"back", sender)
            assert len(await arrived(sender, 1)) == 1
            for _ in range(20):
                sender.send(bytes(1200), receiver)
            await asyncio.sleep(0.3)
            assert drain(receiver) == []
            await lab.link("cam").set(rate_bps=4e6)
            assert len(await arrived(receiver, 20)) == 20


async def test_a_rate_trace_carries_what_it_says_in_every_second(engine):
    if not TIMING:
        pytest.skip("timing means nothing here")
    rates = [1e6, 3e6, 2e6, 0.0, 4e6]
    trace = Trace(tuple(TracePoint(0.2 * index, rate) for index, rate in enumerate(rates)), 1.0)
    async with Lab(two(Shape(rate_bps=1e6, queue_s=0.5), live=True, engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            playback = lab.link("cam").replay(trace)
            measured = await flooded_rate_bps(sender, receiver, 5e6, 4.31)
            await playback.stop()
    assert measured == pytest.approx(statistics.fmean(rates), rel=0.03)
