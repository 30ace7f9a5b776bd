"""Target rates follow configurations, faults and caps; loop lag is a quantile of what was probed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import pytest
from msgspec.structs import replace

from ecco_emu.core.events import AnyEvent, CameraConfigured, FaultApplied, SegmentMoved, Traffic
from ecco_emu.core.faults import (
    FaultPhase,
    LinkBlackhole,
    LinkChange,
    LinkCliff,
    LinkDown,
    LinkSet,
    LinkUp,
    LossBursts,
    NetworkPartition,
)
from ecco_emu.core.ids import CameraId
from ecco_emu.emulation.meters import (
    VIDEO_PART,
    MeteredListener,
    OwnLimit,
    PeerCounters,
    ShareTargets,
    TrafficMeter,
    resident_bytes,
)
from ecco_emu.host.clock import RunClock
from ecco_emu.host.loop_lag import LoopLag
from ecco_emu.transport.adapter import Peer
from ecco_emu.transport.stats import ConnectionStats
from tests.unit.emulation.test_topology import scenario


def streams(camera: str, alpha: float) -> CameraConfigured:
    state = "streaming" if alpha else "idle"
    return CameraConfigured(t=1.0, camera=camera, state=state, fps=5.0, width=320, height=192, alpha=alpha)


def fault(change: LinkChange, index: int = 0, phase: FaultPhase = "start") -> FaultApplied:
    return FaultApplied(t=2.0, index=index, change=change, phase=phase, requested=2.0, applied=2.0)


def test_who_does_not_stream_gets_nothing() -> None:
    targets = ShareTargets(scenario())
    assert targets.now() == {"cam1": 0.0, "cam2": 0.0}
    targets.see(streams("cam1", 0.3))
    assert targets.now() == {"cam1": 4e6, "cam2": 0.0}  # capped by its own uplink


def test_shares_are_by_alpha_under_the_uplinks_caps() -> None:
    targets = ShareTargets(scenario())
    targets.see(streams("cam1", 0.5))
    targets.see(streams("cam2", 0.5))
    assert targets.now() == pytest.approx({"cam1": 4e6, "cam2": 800e3})
    targets.see(fault(LinkSet("bottleneck", rate_bps=1e6)))
    assert targets.now() == pytest.approx({"cam1": 500e3, "cam2": 500e3})
    targets.see(streams("cam1", 1.5))
    assert targets.now() == pytest.approx({"cam1": 750e3, "cam2": 250e3})


def test_targets_follow_the_weight_whatever_alpha_was_made_of_it() -> None:
    """With ``mapping: root`` alpha goes with the square of p/n, and so did the targets."""
    targets = ShareTargets(scenario())
    targets.see(fault(LinkSet("bottleneck", rate_bps=1e6)))
    targets.see(replace(streams("cam1", 3 * 0.6**2), weight=0.6))
    targets.see(replace(streams("cam2", 3 * 0.4**2), weight=0.4))
    assert targets.now() == pytest.approx({"cam1": 600e3, "cam2": 400e3})


def segment(t: float, size: int, budget: int | None = 25_000, camera: str = "cam2") -> SegmentMoved:
    return SegmentMoved(t=t, camera=camera, sequence=0, state="sent", frames=5, bytes=size, budget=budget)


def test_a_camera_whose_encoder_makes_less_leaves_the_rest_to_the_others() -> None:
    targets = ShareTargets(scenario())
    targets.see(fault(LinkSet("bottleneck", rate_bps=1e6)))
    for camera in ("cam1", "cam2"):
        targets.see(streams(camera, 0.5))
    for second in range(6):
        targets.see(segment(float(second), 12_500))
    least = 100e3 / VIDEO_PART  # with headers
    assert targets.now() == pytest.approx({"cam1": 1e6 - least, "cam2": least})
    for second in range(6, 12):
        targets.see(segment(float(second), 24_000))
    assert targets.now() == pytest.approx({"cam1": 500e3, "cam2": 500e3})
    targets.see(segment(12.0, 1, None))  # a log that says nothing of budgets


class TestOwnLimit:
    """A camera whose segments are smaller than they may be is limited by its encoder."""

    def after(self, *sizes: float) -> float:
        limit = OwnLimit()
        for second, size in enumerate(sizes):
            limit.update(float(second), round(size * 1000), 1000)
        return limit.rate_bps

    def test_one_that_uses_what_it_is_allowed_has_none(self) -> None:
        assert math.isinf(self.after(*[0.97] * 10))
        assert math.isinf(self.after(*[0.8, 1.04] * 5))

    def test_one_that_cannot_send_more_is_held_to_what_it_sends(self) -> None:
        assert math.isinf(self.after(*[0.6] * 5))  # too soon to tell
        assert self.after(*[0.6] * 6) == pytest.approx(600 * 8)

    def test_the_limit_stands_still_while_sizes_swing_and_ends(self) -> None:
        assert self.after(*[0.6] * 6, *[0.64, 0.56] * 10) == pytest.approx(600 * 8)
        assert self.after(*[0.6] * 6, *[0.9] * 6) == pytest.approx(900 * 8, rel=0.1)
        assert math.isinf(self.after(*[0.6] * 6, *[0.97] * 6))

    def test_long_segments_count_by_their_time(self) -> None:
        limit = OwnLimit()
        for index in range(6):
            limit.update(4.0 * index, 600, 1000)
        assert limit.rate_bps == pytest.approx(600 * 8 / 4)


def test_a_link_that_is_down_has_no_target() -> None:
    targets = ShareTargets(scenario())
    targets.see(streams("cam1", 0.5))
    targets.see(streams("cam2", 0.5))
    targets.see(fault(LinkDown("cam1")))
    assert targets.now()["cam1"] == 0.0
    targets.see(fault(LinkUp("cam1")))
    targets.see(fault(LinkDown("bottleneck")))
    assert set(targets.now().values()) == {0.0}


def test_counters_since_are_differences_but_for_another_connection() -> None:
    peer, other = cast(Peer, object()), cast(Peer, object())
    before = PeerCounters(peer, sent_bytes=100, sent=10, lost=1, rtt_s=0.1, cuts=2, spurious=1, stale=3)
    now = PeerCounters(peer, sent_bytes=150, sent=14, lost=2, rtt_s=0.2, cuts=2, spurious=2, stale=5)
    assert now.since(before) == PeerCounters(
        peer, sent_bytes=50, sent=4, lost=1, rtt_s=0.2, cuts=0, spurious=1, stale=2
    )
    assert PeerCounters(other, sent=3, stale=1).since(before) == PeerCounters(other, sent=3, stale=1)


def test_cliffs_cap_and_end_and_the_lowest_counts() -> None:
    targets = ShareTargets(scenario())
    targets.see(streams("cam1", 0.5))
    targets.see(fault(LinkCliff("cam1", 2e6), 0))
    targets.see(fault(LinkCliff("cam1", 1e6), 1))
    targets.see(fault(LinkCliff("bottleneck", 1.5e6), 2))
    assert targets.now()["cam1"] == 1e6
    targets.see(fault(LinkCliff("cam1", 1e6), 1, "end"))
    assert targets.now()["cam1"] == 1.5e6
    targets.see(fault(LinkCliff("bottleneck", 1.5e6), 2, "end"))
    assert targets.now()["cam1"] == 2e6


def test_who_is_separated_from_the_server_has_no_target() -> None:
    targets = ShareTargets(scenario())
    targets.see(streams("cam1", 0.5))
    targets.see(streams("cam2", 0.5))
    apart = NetworkPartition((("cam1",), ("cam2", "server")))
    targets.see(fault(apart, 0))
    targets.see(fault(LinkBlackhole("cam2", "down"), 1))
    assert set(targets.now().values()) == {0.0}
    targets.see(fault(apart, 0, "end"))
    assert targets.now()["cam1"] == 4e6
    targets.see(fault(LinkBlackhole("cam2", "down"), 1, "end"))
    assert targets.now()["cam2"] == 800e3


def test_targets_follow_a_trace_under_a_cliff() -> None:
    targets = ShareTargets(scenario())
    targets.see(streams("cam1", 0.5))
    rates = iter([3e6, 1e6, 3e6])
    targets.follow("cam1", lambda: next(rates))
    assert [targets.now()["cam1"] for _ in range(2)] == [3e6, 1e6]
    targets.see(fault(LinkCliff("cam1", 2e6), 0))
    assert targets.now()["cam1"] == 2e6


def test_a_set_of_other_things_leaves_the_rate() -> None:
    targets = ShareTargets(scenario())
    targets.see(streams("cam1", 0.5))
    bursts = LossBursts(0.02, 5)
    targets.see(fault(LinkSet("cam1", rate_bps=1e6, delay_s=0.02, burst_loss=bursts), 0))
    targets.see(fault(LinkSet("cam1", delay_s=0.03), 1))
    assert targets.now()["cam1"] == 1e6


# -- traffic --


@dataclass
class FakePeer:
    name: str = "cam1"
    stats: ConnectionStats = field(default_factory=ConnectionStats)


@dataclass
class FakeCamera:
    id: CameraId
    peer: Peer | None = None


class Ticks:
    """A clock for one reader: each sleep ends on time, after ``before`` has been told the time."""

    def __init__(self, before: Callable[[float], Awaitable[None]], end: float) -> None:
        self._before, self._end, self._now = before, end, 0.0

    def now(self) -> float:
        return self._now

    async def sleep_until(self, t: float) -> float:
        if t > self._end:
            raise asyncio.CancelledError
        await self._before(t)
        self._now = t
        return 0.0


async def test_goodput_counts_video_when_it_arrives_not_when_its_segment_is_complete() -> None:
    """A segment of 4 s crosses a link of 100 kbit/s in 4 s; then the camera dials again."""
    peers = [FakePeer(), FakePeer()]
    queue = list(peers)

    async def accept() -> FakePeer:
        return queue.pop(0)

    listener = MeteredListener(accept)
    await listener.accept()

    async def arrive(t: float) -> None:
        if t == 4:
            await listener.accept()
        peers[0 if t <= 3 else 1].stats.video_bytes_received += 12_500

    events: list[AnyEvent] = []
    clock = Ticks(arrive, end=4.0)
    meter = TrafficMeter(
        [FakeCamera(CameraId("cam1"))], ShareTargets(scenario()), clock, events.append, listener.video_bytes
    )
    with pytest.raises(asyncio.CancelledError):
        await meter.run()
    assert [event.goodput_bps for event in events if isinstance(event, Traffic)] == [100e3] * 4


async def test_the_clock_dilates() -> None:
    clock = RunClock(0.1)
    clock.start()
    late = await clock.sleep_until(0.5)  # 50 ms of the wall
    assert late >= 0.0
    assert clock.now() >= 0.5
    assert clock.wall_duration(2.0) == pytest.approx(0.2)


async def test_lag_counts_what_blocks_the_loop() -> None:
    lag = LoopLag()
    assert lag.quantile_ms(0.99) == 0.0
    probing = asyncio.create_task(lag.run())
    await asyncio.sleep(0.05)
    import time

    time.sleep(0.1)  # noqa: ASYNC251 - blocking the loop is what is measured
    await asyncio.sleep(0.05)
    probing.cancel()
    assert lag.quantile_ms(1.0) >= 60.0
    assert lag.quantile_ms(0.0) < lag.quantile_ms(1.0)


def test_resident_memory_is_at_least_this_process() -> None:
    assert resident_bytes() > 10 * 2**20
