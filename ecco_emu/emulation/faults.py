"""Faults while the run goes on: the scenario's, at their times, and those a person or test injects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import netns
from ecco_emu.core import units
from ecco_emu.core.clock import Clock
from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.events import AnyEvent, FaultApplied
from ecco_emu.emulation.topology import SERVER
from ecco_emu.scenario.faults import SHARED_LINKS, FaultEvent, unknown_link


class FaultInjector:
    """Applies changes to links and records when each was asked for and when it held."""

    def __init__(
        self,
        lab: netns.Lab,
        *,
        cameras: Sequence[str],
        scheduled: int,
        clock: Clock,
        dilation: float,
        emit: Callable[[AnyEvent], None],
    ) -> None:
        self._lab = lab
        self._cameras = tuple(cameras)
        self._clock = clock
        self._dilation = dilation
        self._emit = emit
        self._next_index = scheduled
        """Faults injected by hand are numbered after the scenario's own."""

    async def run(self, timeline: Sequence[FaultEvent]) -> None:
        for event in timeline:
            await self._clock.sleep_until(event.at)
            await self.apply(event)

    async def apply(self, event: FaultEvent) -> None:
        link = self._link(event.on)
        match event.action:
            case "down":
                await link.down()
            case "up":
                await link.up()
            case _:
                assert event.rate_bps is not None
                await link.set(
                    direction=self._limited_direction(event.on),
                    rate_bps=event.rate_bps / self._dilation,
                )
        self._emit(
            FaultApplied(
                t=self._clock.now(),
                index=event.index,
                on=event.on,
                action=event.action,
                phase=event.phase,
                requested=event.at,
                applied=self._clock.now(),
            )
        )

    def new_index(self) -> int:
        self._next_index += 1
        return self._next_index - 1

    def check(self, on: str) -> None:
        """Raises ``ScenarioError`` for a link that does not exist."""
        wrong = unknown_link(on, self._cameras)
        if wrong is not None:
            raise ScenarioError(wrong)

    def _link(self, on: str) -> netns.Link:
        self.check(on)
        return self._lab.link(SERVER if on in SHARED_LINKS else on)

    @staticmethod
    def _limited_direction(on: str) -> Literal["ingress", "egress"]:
        """The direction whose rate the scenario names: a camera's uplink, the bottleneck towards the
        server, the downlink away from it."""
        return "ingress" if on == "bottleneck" else "egress"


@dataclass(frozen=True, slots=True)
class LinkHandle:
    """A link of a live run, as ``emu.link("cam3")``. Times in emulated seconds, rates in bit/s."""

    name: str
    injector: FaultInjector
    clock: Clock
    schedule: Callable[[FaultEvent], None]

    async def down(self, duration: float | None = None) -> int:
        """Breaks the link; with ``duration`` it comes back by itself. Returns the fault's index.

        ``bottleneck`` and ``downlink`` are one wire: taking either down cuts both ways.
        """
        index = self.injector.new_index()
        now = self.clock.now()
        await self.injector.apply(self._event(index, "down", "start", now))
        if duration is not None:
            self.schedule(self._event(index, "up", "end", now + duration))
        return index

    async def up(self) -> int:
        """Mends the link."""
        index = self.injector.new_index()
        await self.injector.apply(self._event(index, "up", "start", self.clock.now()))
        return index

    async def set(self, *, rate: float | str) -> int:
        """Changes the rate: bit/s of emulated time, or text such as ``"800kbit"``."""
        rate_bps = units.parse_rate(rate) if isinstance(rate, str) else float(rate)
        index = self.injector.new_index()
        action = f"set rate={units.format_rate(rate_bps)}"
        await self.injector.apply(self._event(index, action, "start", self.clock.now(), rate_bps))
        return index

    def _event(
        self,
        index: int,
        action: str,
        phase: Literal["start", "end"],
        at: float,
        rate_bps: float | None = None,
    ) -> FaultEvent:
        return FaultEvent(index, self.name, action, phase, at, rate_bps)
