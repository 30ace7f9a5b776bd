"""Every engine does the same to packets, for each impairment and each way to ask for it."""

from __future__ import annotations

import asyncio
import itertools
import statistics

import pytest

from netns import BurstLoss, CapabilityError, Lab, Shape
from netns.impairment import DISTRIBUTIONS
from tests.integration.netns.traffic import (
    TIMING,
    arrived,
    delays,
    flooded_rate_bps,
    numbers,
    pair,
    plausible,
    round_trips_s,
    send,
    settled,
    two,
)


async def through(spec, count: int, *, gap_s: float = 0.0, size: int = 4, unchecked: bool = False):
    """Sends packets from the camera. Returns the packets that arrived, the times of sending and the link's
    counters."""
    async with Lab(spec) as lab:
        sender, receiver = await pair(lab, checksums=not unchecked)
        with sender, receiver:
            sent = await send(sender, receiver, count, gap_s=gap_s, size=size)
            found = await settled(receiver)
        return found, sent, (await lab.counters())["cam"].egress


async def test_a_clean_wire_changes_nothing(engine):
    found, _, counters = await through(two(live=True, engine=engine), 500)
    assert numbers(found) == list(range(500))
    assert (counters.packets, counters.drops, counters.backlog_bytes) == (500, 0, 0)


async def test_delay(engine):
    found, sent, _ = await through(two(Shape(delay_s=0.02), engine=engine), 100, gap_s=0.005)
    assert numbers(found) == list(range(100))
    taken = delays(found, sent)
    assert min(taken) >= 0.0199
    if TIMING:
        assert statistics.median(taken) == pytest.approx(0.02, abs=0.001)


async def test_each_direction_has_its_own_delay(engine):
    async with Lab(two(Shape(delay_s=0.03), Shape(delay_s=0.01), engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            times = await round_trips_s(sender, receiver, 10)
            assert min(times) >= 0.0399
            if TIMING:
                assert statistics.median(times) == pytest.approx(0.04, abs=0.003)
            await send(receiver, sender, 1)
            back = await arrived(sender, 1)
    assert numbers(back) == [0]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
async def test_jitter_spreads_as_asked_and_keeps_order(engine, distribution):
    shape = Shape(delay_s=0.05, jitter_s=0.01, jitter_distribution=distribution)
    # far enough apart that few must wait for their predecessors
    found, sent, _ = await through(two(shape, engine=engine), 150, gap_s=0.02)
    assert numbers(found) == list(range(150))
    taken = delays(found, sent)
    least = {"uniform": 0.0399, "normal": 0.0099, "pareto": 0.0399}[distribution]
    assert min(taken) >= least
    assert statistics.pstdev(taken) > 0.004
    if TIMING:
        assert statistics.fmean(taken) == pytest.approx(0.051, abs=0.006)
        reach = {"uniform": 0.0601, "normal": 0.0901, "pareto": 0.0901}[distribution]
        assert sorted(taken)[-8] < reach + 0.003  # a busy host may be late now and then


async def test_loss_is_binomial_and_counted(engine):
    found, _, counters = await through(two(Shape(loss=0.1), engine=engine), 3000)
    lost = 3000 - len(found)
    assert plausible(lost, 3000, 0.1)
    assert (counters.drops, counters.packets) == (lost, len(found))
    assert numbers(found) == sorted(numbers(found))


async def test_burst_loss_comes_in_bursts(engine):
    model = BurstLoss.of(mean_loss=0.1, burst_packets=5)
    found, _, counters = await through(two(Shape(burst_loss=model), engine=engine), 4000)
    lost = 4000 - len(found)
    got = [-1, *numbers(found), 4000]
    bursts = sum(1 for before, after in itertools.pairwise(got) if after - before > 1)
    assert lost / 4000 == pytest.approx(0.1, abs=0.06)  # four deviations of some eighty bursts
    assert lost / bursts == pytest.approx(5, rel=0.4)
    assert counters.drops == lost


async def test_duplicates_arrive_twice(engine):
    found, _, _ = await through(two(Shape(duplicate=0.2), engine=engine), 1000)
    assert sorted(set(numbers(found))) == list(range(1000))
    assert plausible(len(found) - 1000, 1000, 0.2)


async def test_a_corrupted_packet_has_one_wrong_bit(engine):
    # without UDP checksums, or the kernel would never show them
    found, _, counters = await through(two(Shape(corrupt=0.3), engine=engine), 500, size=1200, unchecked=True)
    flipped = [sum(byte.bit_count() for byte in data[4:]) for _, data in found]
    assert set(flipped) == {0, 1}
    assert plausible(flipped.count(1), 500, 0.3 * 1196 / 1242)
    assert counters.packets >= len(found)


async def test_a_receiver_that_checks_sees_no_corrupted_packet(engine):
    found, _, _ = await through(two(Shape(corrupt=0.5), engine=engine), 400, size=500)
    assert not any(any(data[4:]) for _, data in found)
    # a bit of the address, of the type or of an option of IP may be wrong and harm nothing
    assert 150 < len(found) < 250


async def test_reordered_packets_overtake_and_the_others_keep_order(engine):
    shape = Shape(delay_s=0.05, reorder=0.2)
    found, _, counters = await through(two(shape, engine=engine), 300, gap_s=0.002)
    got = numbers(found)
    assert sorted(got) == list(range(300))
    overtakers = {late for before, late in itertools.pairwise(got) if late > before + 1}
    assert 20 < len(overtakers) < 110
    delayed = [number for number in got if number not in overtakers]
    assert sum(1 for a, b in itertools.pairwise(delayed) if b < a) < 40
    assert counters.drops == 0


async def test_a_packet_that_overtakes_does_not_wait_for_those_under_way(engine):
    async with Lab(two(Shape(delay_s=4.0), engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            await send(sender, receiver, 1)
            await lab.link("cam").set(direction="egress", reorder=1.0)
            sender.send(b"overtakes", receiver)
            first = await arrived(receiver, 1, timeout_s=2.0)
            counters = (await lab.counters())["cam"].egress
    assert [data for _, data in first] == [b"overtakes"]
    assert counters.backlog_bytes == 4 + 42


async def test_a_rate_limits_and_a_full_queue_drops(engine):
    shape = Shape(rate_bps=2e6, queue_s=0.1, delay_s=0.005)
    async with Lab(two(shape, engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            measured = await flooded_rate_bps(sender, receiver, 3e6, 2.0)
            await settled(receiver)
        counters = (await lab.counters())["cam"].egress
    assert counters.drops > 0
    assert counters.backlog_bytes == 0
    assert measured < 2e6 * (1.02 if TIMING else 1.2)
    if TIMING:
        assert measured > 2e6 * 0.98


async def test_packets_under_way_are_backlog(engine):
    async with Lab(two(Shape(delay_s=10.0), engine=engine)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            await send(sender, receiver, 1, size=958)
            await asyncio.sleep(0.05)
            counters = (await lab.counters())["cam"].egress
    assert (counters.backlog_bytes, counters.packets) == (1000, 0)


async def test_large_packets_and_checksums_survive(engine):
    shape = Shape(delay_s=0.001)
    message = bytes(range(256)) * 31
    # six fragments; simulated links have none, and take the message whole
    mtu_bytes = 9000 if engine == "simulated" else 1500
    async with Lab(two(shape, shape, engine=engine, mtu_bytes=mtu_bytes)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            sender.send(message, receiver)
            assert [data for _, data in await arrived(receiver, 1)] == [message]
            receiver.send(message, sender)
            assert [data for _, data in await arrived(sender, 1)] == [message]


async def test_a_silent_network(engine):
    async with Lab(two(live=True, engine=engine)) as lab:
        await asyncio.sleep(0.5)
        counters = await lab.counters()
    assert {one.packets for link in counters.values() for one in (link.egress, link.ingress)} == {0}


async def test_the_same_seed_loses_the_same_packets(engine):
    if engine == "kernel":
        pytest.skip("netem takes a seed since Linux 6.7, and older kernels do not say that they ignore it")

    async def survivors(seed: int) -> list[int]:
        return numbers((await through(two(Shape(loss=0.3), seed=seed, engine=engine), 200))[0])

    first = await survivors(5)
    assert first == await survivors(5)
    assert first != await survivors(6)


async def test_an_engine_says_before_it_builds_what_it_cannot_do(engine):
    reordered = Shape(rate_bps=1e6, delay_s=0.01, reorder=0.5)
    held = Shape(rate_bps=10e9, delay_s=2.0)
    refused, taken = (reordered, held) if engine == "kernel" else (held, reordered)
    with pytest.raises(CapabilityError, match="engine="):
        await Lab(two(refused, engine=engine)).__aenter__()
    async with Lab(two(taken, engine=engine)) as lab:
        with pytest.raises(CapabilityError, match="engine="):
            await lab.link("cam").set(direction="egress", **changes(refused))
        assert lab.link("cam").shape("egress") == taken


def changes(shape: Shape) -> dict[str, float]:
    return {"rate_bps": shape.rate_bps, "delay_s": shape.delay_s, "reorder": shape.reorder}
