"""Every kind of fault of a scenario on a real link lab, with their times on record. No video, no training."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

import netns
from ecco_emu.core.errors import HostError, ScenarioError
from ecco_emu.core.events import AnyEvent, FaultApplied
from ecco_emu.emulation.injector import FaultInjector, LinkHandle
from ecco_emu.emulation.topology import SERVER, lab_spec, replays
from ecco_emu.host.clock import RunClock
from ecco_emu.scenario import loading, schema
from ecco_emu.scenario.faults.line import parse_fault
from ecco_emu.scenario.faults.timeline import FaultStep, timeline

pytestmark = pytest.mark.ecco_netns

DILATION = 0.5
CAMERAS = ("cam1", "cam2")


def scenario(*faults: dict[str, Any], **network: Any) -> schema.Scenario:
    weather = [{"at": "0s", "is": "day"}]
    district = {"name": "all", "center": ["0m", "0m"], "radius": "100m", "weather": weather}
    return loading.from_mapping(
        {
            "version": 1,
            "name": "faults",
            "network": network,
            "world": {"town": {"districts": [district]}},
            "cameras": [
                {"id": name, "at": [f"{number}m", "0m"], "source": {"look_at": ["9m", "9m"]}}
                for number, name in enumerate(CAMERAS)
            ],
            "faults": list(faults),
        },
        files=False,
    )


class Run:
    """A lab with an injector on it, and what the injector put on record."""

    def __init__(self, of: schema.Scenario, lab: netns.Lab) -> None:
        self.lab, self.clock = lab, RunClock(DILATION)
        self.events: list[FaultApplied] = []
        self.recorded = asyncio.Event()
        self.injector = FaultInjector(
            lab,
            cameras=CAMERAS,
            scheduled=len(of.faults),
            clock=self.clock,
            emit=self._emit,
        )

    @asynccontextmanager
    async def going_on(self, steps: Sequence[FaultStep] = ()) -> AsyncIterator[None]:
        """The injector runs, from emulated time 0, for the time of the block."""
        self.clock.start()
        running = asyncio.create_task(self.injector.run(steps))
        await asyncio.sleep(0)
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    def _emit(self, event: AnyEvent) -> None:
        assert isinstance(event, FaultApplied)
        self.events.append(event)
        self.recorded.set()

    def link(self, name: str) -> LinkHandle:
        return LinkHandle(name, self.injector.inject, self.clock)

    async def arrives(self, source: str, target: str) -> bool:
        with await self.lab.udp_socket(source) as sender, await self.lab.udp_socket(target) as receiver:
            sender.sendto(b"x", receiver.getsockname())
            await asyncio.sleep(0.1)
            try:
                return bool(receiver.recv(10))
            except BlockingIOError:
                return False


async def whole_timeline(*faults: dict[str, Any]) -> list[FaultApplied]:
    of = scenario(*faults)
    async with netns.Lab(lab_spec(of, DILATION)) as lab:
        run = Run(of, lab)
        steps = timeline(of)
        async with run.going_on(steps), asyncio.timeout(60):
            while len(run.events) < len(steps):
                await run.recorded.wait()
                run.recorded.clear()
    return run.events


async def test_a_timeline_is_applied_in_order_and_put_on_record():
    events = await whole_timeline(
        {"at": "500ms", "on": "cam1", "flap": {"down": "200ms", "up": "200ms", "times": 2}},
        {"at": "600ms", "on": "bottleneck", "cliff": {"rate": "500kbit", "for": "350ms"}},
        {"at": "700ms", "partition": {"sets": [["cam2"], ["server"]], "for": "150ms"}},
        {"at": "800ms", "on": "cam2", "blackhole": {"direction": "down", "for": "180ms"}},
        {"at": "1s", "on": "cam2", "down": {}},
        {"at": "1150ms", "on": "cam2", "up": True},
        {"at": "1200ms", "on": "downlink", "set": {"rate": "5mbit", "delay": "9ms", "loss": "1%"}},
    )
    assert [(event.index, event.action) for event in sorted(events, key=lambda event: event.requested)] == [
        (0, "down"),
        (1, "cliff rate=500kbit"),
        (0, "up"),
        (2, "partition"),
        (3, "blackhole down"),
        (2, "partition over"),
        (0, "down"),
        (1, "cliff over"),
        (3, "blackhole over"),
        (4, "down"),
        (0, "up"),
        (5, "up"),
        (6, "set rate=5mbit delay=9ms loss=1%"),
    ]
    assert all(event.applied >= event.requested for event in events)


async def test_a_blackhole_is_one_way_and_a_partition_is_both():
    of = scenario()
    async with netns.Lab(lab_spec(of, DILATION)) as lab:
        run = Run(of, lab)
        async with run.going_on():
            index = await run.link("cam1").blackhole("up", duration=60)
            assert not await run.arrives("cam1", SERVER)
            assert await run.arrives(SERVER, "cam1")
            await run.injector.apply(FaultStep(index, run.events[0].change, "end", run.clock.now()))
            assert await run.arrives("cam1", SERVER)
            await run.injector.inject(parse_fault("cam1/cam2,server partition", cameras=CAMERAS))
            assert not await run.arrives("cam1", SERVER)
            assert not await run.arrives("cam2", "cam1")
            assert await run.arrives("cam2", SERVER)
    assert [(event.action, event.phase) for event in run.events] == [
        ("blackhole up", "start"),
        ("blackhole over", "end"),
        ("partition", "start"),
    ]


async def test_rates_and_delays_are_dilated_and_changes_add_up():
    of = scenario({"at": "1s", "on": "bottleneck", "set": {"delay": "20ms"}})
    async with netns.Lab(lab_spec(of, DILATION)) as lab, AsyncExitStack() as stack:
        run = Run(of, lab)
        await stack.enter_async_context(run.going_on())
        await run.link("bottleneck").set(rate="2mbit", delay=0.03, loss=0.02)
        await run.link("bottleneck").cliff(rate=1e6)
        shape = lab.link(SERVER).shape("ingress")
        assert shape.rate_bps == pytest.approx(1e6 / DILATION)
        assert shape.delay_s == pytest.approx(0.03 * DILATION)
        assert shape.loss == pytest.approx(0.02)
        assert lab.link(SERVER).shape("egress").loss == 0
        await run.link("cam1").set(delay=0.05)
        for direction in ("egress", "ingress"):
            assert lab.link("cam1").shape(direction).delay_s == pytest.approx(0.05 * DILATION)


async def test_what_a_link_cannot_do_says_whose_fault_it_is():
    clean = {"delay": "0s"}
    of = scenario(uplink=clean, bottleneck=clean, downlink=clean)
    async with netns.Lab(lab_spec(of, DILATION)) as lab, AsyncExitStack() as stack:
        run = Run(of, lab)
        await stack.enter_async_context(run.going_on())
        with pytest.raises(ScenarioError, match=r"fault cam1 set delay=10ms: .*live_impairments"):
            await run.link("cam1").set(delay=0.01)
        with pytest.raises(ScenarioError, match="'cam9' is no link; did you mean"):
            await run.link("cam9").down()
    assert run.events == []


async def test_a_trace_sets_the_rate_and_a_cliff_caps_it(tmp_path):
    path = tmp_path / "steps.csv"
    path.write_text("time_s,rate_bps,delay_s\n0,4e6,0.01\n60,1e6,0.02\n120,1e6,0.02\n")
    of = scenario(uplink={"trace": {"file": str(path), "start": "70s"}})
    async with netns.Lab(lab_spec(of, DILATION)) as lab, AsyncExitStack() as stack:
        run = Run(of, lab)
        await stack.enter_async_context(run.going_on())
        for replay in replays(of, DILATION):
            replay.begin(lab)
        await asyncio.sleep(0.1)
        shape = lab.link("cam1").shape("egress")
        assert shape.rate_bps == pytest.approx(1e6 / DILATION)
        assert shape.delay_s == pytest.approx(0.02 * DILATION)
        await run.link("cam1").cliff(rate="500kbit")
        assert lab.link("cam1").shape("egress").rate_bps == pytest.approx(500e3 / DILATION)


async def test_a_fault_may_come_before_the_runs_first_turn_and_none_after_its_end():
    of = scenario()
    async with netns.Lab(lab_spec(of, DILATION)) as lab:
        run = Run(of, lab)
        run.clock.start()
        index = await run.link("cam1").down(duration=0.2)
        assert not await run.arrives("cam1", SERVER)
        running = asyncio.create_task(run.injector.run([]))
        async with asyncio.timeout(10):
            while len(run.events) < 2:
                run.recorded.clear()
                await run.recorded.wait()
        assert [(event.index, event.phase) for event in run.events] == [(index, "start"), (index, "end")]
        assert await run.arrives("cam1", SERVER)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        with pytest.raises(HostError, match="it ends"):
            await run.link("cam1").down(duration=1)
    assert len(run.events) == 2
