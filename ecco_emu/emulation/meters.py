"""Measurements while a run goes on: each camera's traffic against its target, and the host's health."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import psutil

from ecco_emu.control.shares import weighted_max_min
from ecco_emu.core.clock import Clock
from ecco_emu.core.errors import HostError
from ecco_emu.core.events import (
    AnyEvent,
    CameraConfigured,
    ClockReport,
    FaultApplied,
    SegmentMoved,
    Traffic,
)
from ecco_emu.core.faults import (
    LinkBlackhole,
    LinkCliff,
    LinkDown,
    LinkSet,
    LinkUp,
    NetworkPartition,
    cut_off,
)
from ecco_emu.core.ids import CameraId
from ecco_emu.host.loop_lag import LoopLag
from ecco_emu.record.host_log import HostLog
from ecco_emu.scenario import schema
from ecco_emu.transport.adapter import Peer
from ecco_emu.transport.stats import ConnectionStats

TRAFFIC_PERIOD_S = 1.0
HEALTH_PERIOD_WALL_S = 5.0
VIDEO_PART = (1200 - 41) / (1200 + 42)
"""Of a link's rate: a full packet has 41 bytes of header, tag and frame header in its 1200, and 42 bytes of
Ethernet, IPv4 and UDP headers around them. Goodput counts the video alone, and so must its target."""
LIMITED, UNLIMITED = 0.85, 0.93
"""A camera limits itself when its segments take less than the first part of the bytes that congestion control
allows them, and no longer when they take more than the second. The encoder aims at 0.97."""
LIMITED_SEGMENTS = 5
"""Segments over which that is judged."""
SAME_LIMIT = 0.1
"""A limit that moves by less than this stays as it is: targets that moved every second would never let
congestion control settle."""


@dataclass(frozen=True, slots=True)
class PeerCounters:
    """A connection's counters at one moment."""

    peer: Peer | None = None
    sent_bytes: int = 0
    sent: int = 0
    lost: int = 0
    rtt_s: float = 0.0
    cuts: int = 0
    spurious: int = 0
    stale: int = 0

    @classmethod
    def of(cls, peer: Peer | None) -> PeerCounters:
        if peer is None:
            return cls()
        stats = peer.stats
        return cls(
            peer=peer,
            sent_bytes=stats.video_bytes_sent,
            sent=stats.packets_sent,
            lost=stats.packets_lost,
            rtt_s=peer.rtt_s,
            cuts=stats.cuts,
            spurious=stats.spurious,
            stale=stats.video_lost,
        )

    def since(self, before: PeerCounters) -> PeerCounters:
        """The counts since ``before``. A camera that dialled again has new counters, from 0."""
        if self.peer is not before.peer:
            return self
        return replace(
            self,
            sent_bytes=self.sent_bytes - before.sent_bytes,
            sent=self.sent - before.sent,
            lost=self.lost - before.lost,
            cuts=self.cuts - before.cuts,
            spurious=self.spurious - before.spurious,
            stale=self.stale - before.stale,
        )


class MeteredCamera(Protocol):
    id: CameraId

    @property
    def peer(self) -> Peer | None: ...


class OwnLimit:
    """Finds whether a camera limits itself, because its encoder has nothing more to send. Pure.

    With the finest quantiser a few small frames take so many bits and no more.
    """

    def __init__(self) -> None:
        self._sent: deque[tuple[float, int, int]] = deque(maxlen=LIMITED_SEGMENTS + 1)
        self.rate_bps = math.inf
        """The rate at which it sends then; infinite while it uses what congestion control allows."""

    def update(self, t: float, size: int, budget: int) -> None:
        """A segment of ``size`` bytes was sent at ``t``, which might have had ``budget``."""
        self._sent.append((t, size, budget))
        if len(self._sent) <= LIMITED_SEGMENTS:
            return
        took_s = t - self._sent[0][0]
        newer = list(self._sent)[1:]  # those that were sent in ``took_s``
        sizes, budgets = sum(each[1] for each in newer), sum(each[2] for each in newer)
        if sizes >= (LIMITED if math.isinf(self.rate_bps) else UNLIMITED) * budgets or took_s <= 0:
            self.rate_bps = math.inf
            return
        rate_bps = sizes * 8 / took_s
        if math.isinf(self.rate_bps) or abs(rate_bps - self.rate_bps) > SAME_LIMIT * self.rate_bps:
            self.rate_bps = rate_bps


class ShareTargets:
    """How much of the bottleneck each camera should get now: weighted max-min fairness over those that
    stream.

    A camera's weight is p/n, which it reports whatever alpha was made of it. Its cap is the rate of its
    uplink, or the rate that its encoder produces where that is less. All follow the events. Rates are those
    of links, headers included.
    """

    def __init__(self, scenario: schema.Scenario) -> None:
        self._capacity = scenario.network.bottleneck.rate or math.inf
        self._caps = {camera.id: scenario.uplink_of(camera).rate or math.inf for camera in scenario.cameras}
        self._down: set[str] = set()
        self._cut_off: dict[int, list[str]] = {}
        """Cameras that cannot be heard, by the fault that does it."""
        self._cliffs: dict[int, tuple[str, float]] = {}
        """Links whose rate is capped, with the cap, by the index of the fault that does it."""
        self._followed: dict[str, Callable[[], float]] = {}
        self._weights: dict[str, float] = {}
        self._limits: dict[str, OwnLimit] = {}

    def follow(self, on: str, rate_bps: Callable[[], float]) -> None:
        """A link whose rate changes by itself is as fast as ``rate_bps()`` says."""
        self._followed[on] = rate_bps

    def see(self, event: AnyEvent) -> None:
        match event:
            case CameraConfigured():
                self._weights[event.camera] = event.alpha if event.weight is None else event.weight
                if event.state == "idle":
                    self._limits.pop(event.camera, None)
            case SegmentMoved(state="sent", budget=int(budget)):
                limit = self._limits.setdefault(event.camera, OwnLimit())
                limit.update(event.t, event.bytes, budget)
            case FaultApplied():
                self._see_fault(event)

    def _see_fault(self, event: FaultApplied) -> None:
        starts = event.phase == "start"
        match event.change:
            case LinkDown(on=on):
                (self._down.add if starts else self._down.discard)(on)
            case LinkUp(on=on):
                self._down.discard(on)
            case LinkSet(on=on, rate_bps=rate_bps) if rate_bps is not None:
                self._set_rate(on, rate_bps)
            case LinkCliff(on=on, rate_bps=rate_bps) if starts:
                self._cliffs[event.index] = on, rate_bps
            case LinkCliff():
                self._cliffs.pop(event.index, None)
            case LinkBlackhole() | NetworkPartition() if starts:
                self._cut_off[event.index] = cut_off(event.change, event.phase, list(self._caps))
            case LinkBlackhole() | NetworkPartition():
                self._cut_off.pop(event.index, None)

    def _set_rate(self, on: str, rate_bps: float) -> None:
        if on == "bottleneck":
            self._capacity = rate_bps
        elif on in self._caps:
            self._caps[on] = rate_bps

    def _rate(self, on: str, rate: float) -> float:
        """A link's rate now: its trace's or its own ``rate``, under the lowest cliff that is on it."""
        own = self._followed[on]() if on in self._followed else rate
        return min([own, *(limit for where, limit in self._cliffs.values() if where == on)])

    def now(self) -> dict[str, float]:
        """Target rate by camera, bit/s; 0 for those that do not stream."""
        cameras = list(self._caps)
        caps = [
            0.0
            if self._is_down(camera)
            else min(self._rate(camera, self._caps[camera]), self._own_limit(camera))
            for camera in cameras
        ]
        bottleneck = self._rate("bottleneck", self._capacity)
        weights = [self._weights.get(camera, 0.0) for camera in cameras]
        # an unlimited bottleneck holds nobody back: each camera then gets the rate of its own uplink
        capacity = (
            bottleneck if math.isfinite(bottleneck) else math.fsum(cap for cap in caps if math.isfinite(cap))
        )
        return dict(zip(cameras, weighted_max_min(capacity, weights, caps), strict=True))

    def _own_limit(self, camera: str) -> float:
        limit = self._limits.get(camera)
        return limit.rate_bps / VIDEO_PART if limit is not None else math.inf

    def _is_down(self, camera: str) -> bool:
        return (
            camera in self._down
            or bool(self._down & {"bottleneck", "downlink"})
            or any(camera in cameras for cameras in self._cut_off.values())
        )


class MeteredPeer(Protocol):
    """The server's end of a camera's connection."""

    @property
    def name(self) -> str: ...
    @property
    def stats(self) -> ConnectionStats: ...


P = TypeVar("P", bound=MeteredPeer)


class MeteredListener(Generic[P]):
    """Hands on a listener's connections, and counts the video that arrives on them.

    What arrives is counted then, not when its segment is complete: a segment of a second that crosses a link
    in a second would else be counted in one moment, and goodput exceed the link's rate.
    """

    def __init__(self, accept: Callable[[], Awaitable[P]]) -> None:
        self._accept = accept
        self._newest: dict[str, P] = {}
        self._earlier_bytes: Counter[str] = Counter()

    async def accept(self) -> P:
        peer = await self._accept()
        self._earlier_bytes[peer.name] = self.video_bytes(peer.name)
        self._newest[peer.name] = peer
        return peer

    def video_bytes(self, camera: str) -> int:
        """Bytes of video that have ever arrived from a camera, each once."""
        newest = self._newest.get(camera)
        return self._earlier_bytes[camera] + (newest.stats.video_bytes_received if newest else 0)


class TrafficMeter:
    """Every emulated second, each camera's traffic since the last. ``arrived`` counts a camera's bytes."""

    def __init__(
        self,
        cameras: Sequence[MeteredCamera],
        targets: ShareTargets,
        clock: Clock,
        emit: Callable[[AnyEvent], None],
        arrived: Callable[[str], int],
    ) -> None:
        self._cameras = cameras
        self._targets = targets
        self._clock = clock
        self._emit = emit
        self._arrived = arrived
        self._arrived_before: Counter[CameraId] = Counter()
        self._last: dict[CameraId, PeerCounters] = {}

    async def run(self) -> None:
        t = last = self._clock.now()
        while True:
            t += TRAFFIC_PERIOD_S
            await self._clock.sleep_until(t)
            now = self._clock.now()
            self._report(now, now - last)
            last = now

    def _report(self, now: float, period_s: float) -> None:
        targets = self._targets.now()
        for camera in self._cameras:
            peer = camera.peer
            counters = PeerCounters.of(peer)
            spent = counters.since(self._last.get(camera.id, PeerCounters()))
            self._last[camera.id] = counters
            arrived_bytes = self._arrived(camera.id)
            goodput_bps = (arrived_bytes - self._arrived_before[camera.id]) * 8 / period_s
            self._arrived_before[camera.id] = arrived_bytes
            self._emit(
                Traffic(
                    t=now,
                    camera=camera.id,
                    period_s=period_s,
                    sent_bps=spent.sent_bytes * 8 / period_s,
                    goodput_bps=goodput_bps,
                    target_bps=targets[camera.id] * VIDEO_PART,
                    allowed_bps=peer.allowed_rate_bps if peer is not None else 0.0,
                    rtt_ms=counters.rtt_s * 1e3,
                    loss=spent.lost / spent.sent if spent.sent else 0.0,
                    cuts=spent.cuts,
                    spurious=spent.spurious,
                    stale=spent.stale,
                )
            )


class HealthMeter:
    """How well the host keeps up: loop lag, deadlines missed, memory. On record every few wall seconds."""

    def __init__(
        self, lag: LoopLag, clock: Clock, emit: Callable[[AnyEvent], None], misses: Callable[[], int]
    ) -> None:
        self._lag = lag
        self._clock = clock
        self._emit = emit
        self._misses = misses
        self._rss_bytes = 0

    async def run(self) -> None:
        while True:
            self._rss_bytes = await asyncio.to_thread(resident_bytes)
            self.report()
            await asyncio.sleep(HEALTH_PERIOD_WALL_S)

    def report(self) -> None:
        self._emit(
            ClockReport(
                t=self._clock.now(),
                lag_p50_ms=self._lag.quantile_ms(0.5),
                lag_p99_ms=self._lag.quantile_ms(0.99),
                lag_max_ms=self._lag.quantile_ms(1.0),
                deadline_misses=self._misses(),
                rss_bytes=self._rss_bytes,
            )
        )


@asynccontextmanager
async def watched_host(log: HostLog, clock: Clock) -> AsyncIterator[None]:
    """For the time of the block, notes memory and CPU time every few seconds of the wall.

    A thread does it, because the clock of a simulated run tells nothing of the wall's.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(HEALTH_PERIOD_WALL_S):
            with suppress(HostError):  # the disk is full, which the run's own log will find
                log.note(clock.now(), rss_bytes=resident_bytes(), cpu_s=time.process_time())

    thread = threading.Thread(target=watch, name="host.jsonl", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def resident_bytes() -> int:
    """Resident memory of this process and its children; pages they share are counted for each of
    them, so this is an upper bound."""
    own = psutil.Process()
    total = 0
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return int(total)
