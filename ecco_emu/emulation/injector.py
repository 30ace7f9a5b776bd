"""Faults while the run goes on: the scenario's, at their times, and those a person or test injects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import netns
from ecco_emu.core import units
from ecco_emu.core.clock import Clock
from ecco_emu.core.errors import HostError, ScenarioError
from ecco_emu.core.events import AnyEvent, FaultApplied
from ecco_emu.emulation.topology import direction_of, directions_of, node_of
from ecco_emu.scenario.faults import SHARED_LINKS, FaultEvent, events_of, unknown_link, unknown_nodes
from ecco_emu.scenario.sections.faults import FaultSection, SetShapeSection

AHEAD_WALL_S = 0.1
"""A change is handed to the lab, whose thread keeps the time better, so long before it is due."""


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
        self._broken: dict[int, netns.FaultHandle] = {}
        """What is in force, by the fault's index."""
        self._next_index = scheduled
        """Faults injected by hand are numbered after the scenario's own."""

    async def run(self, timeline: Sequence[FaultEvent]) -> None:
        """Applies everything at its time."""
        async with asyncio.TaskGroup() as applying:
            for event in timeline:
                await self._clock.sleep_until(event.at - AHEAD_WALL_S / self._dilation)
                applying.create_task(self.apply(event))

    async def apply(self, event: FaultEvent) -> None:
        """Applies a change at its time, or at once when that is past, and puts it on record.

        Raises ``ScenarioError`` for what the link cannot do, ``HostError`` for what the host cannot.
        """
        try:
            applied = await self._change(event)
        except (netns.SpecError, netns.CapabilityError) as error:
            raise ScenarioError(f"fault {event.on} {event.action}: {error}") from error
        except netns.LabError as error:
            raise HostError(f"fault {event.on} {event.action}: {error}") from error
        self._emit(
            FaultApplied(
                t=self._clock.now(),
                index=event.index,
                on=event.on,
                action=event.action,
                phase=event.phase,
                requested=event.at,
                applied=applied,
            )
        )

    async def _change(self, event: FaultEvent) -> float:
        """Returns the emulated time at which it held."""
        in_s = max(0.0, (event.at - self._clock.now()) * self._dilation)
        if event.phase == "end":
            handle = self._broken.pop(event.index, None)
            if handle is not None:
                await handle.end(in_s=in_s)
                return self._emulated(handle.log[-1].applied_s)
        elif event.action.startswith(("up", "set")):
            await self._clock.sleep_until(event.at)
            await self._change_link(event)
        else:
            handle = self._lab.schedule(self._fault(event), in_s=in_s)
            self._broken[event.index] = handle
            await handle.began()
            return self._emulated(handle.log[0].applied_s)
        return self._clock.now()

    async def _change_link(self, event: FaultEvent) -> None:
        self.check(event.on)
        link = self._lab.link(node_of(event.on))
        if event.action == "up":
            await link.up()
            return
        assert event.fault is not None
        assert event.fault.set is not None
        change = event.fault.set
        if change.rate is not None:
            await link.set(direction=direction_of(event.on), rate_bps=change.rate / self._dilation)
        if change.impairs:
            for direction in directions_of(event.on):
                await link.set(direction=direction, **self._impairments(change))

    def _impairments(self, change: SetShapeSection) -> dict[str, Any]:
        """What a ``set`` changes beside the rate, in wall units, by the names of ``netns.Link.set``."""
        changes: dict[str, Any] = {
            name: getattr(change, name)
            for name in ("loss", "duplicate", "corrupt")
            if getattr(change, name) is not None
        }
        for name in ("delay", "jitter"):
            if getattr(change, name) is not None:
                changes[f"{name}_s"] = getattr(change, name) * self._dilation
        if change.burst_loss is not None:
            changes["burst_loss"] = netns.BurstLoss.of(change.burst_loss.mean, change.burst_loss.packets)
        elif change.loss is not None:
            changes["burst_loss"] = None
        return changes

    def _fault(self, event: FaultEvent) -> netns.Fault:
        """The link lab's fault of a ``down``, ``cliff``, ``partition`` or ``blackhole``."""
        fault = event.fault
        if fault is not None and fault.partition is not None:
            return netns.Partition(*fault.partition.sets)
        self.check(event.on)
        node = node_of(event.on)
        if fault is not None and fault.cliff is not None:
            return netns.RateCliff(node, direction_of(event.on), fault.cliff.rate / self._dilation)
        if fault is not None and fault.blackhole is not None:
            if event.on in SHARED_LINKS:
                return netns.Blackhole(node, direction_of(event.on))
            return netns.Blackhole(node, "egress" if fault.blackhole.direction == "up" else "ingress")
        return netns.Down(node)

    def _emulated(self, wall: float) -> float:
        """The emulated time of a moment of the lab's clock, which is the monotonic one."""
        return self._clock.now() - (time.monotonic() - wall) / self._dilation

    def new_index(self) -> int:
        self._next_index += 1
        return self._next_index - 1

    def check(self, on: str) -> None:
        """Raises ``ScenarioError`` for a link that does not exist."""
        wrong = unknown_link(on, self._cameras)
        if wrong is not None:
            raise ScenarioError(wrong)

    async def inject(self, fault: FaultSection, schedule: Callable[[FaultEvent], None]) -> int:
        """Applies a fault's first change now and gives the rest to ``schedule``; returns its index.

        Raises ``ScenarioError`` for names that are not there.
        """
        wrong = unknown_nodes(fault, self._cameras)
        if wrong:
            raise ScenarioError("; ".join(message for _, message in wrong))
        index = self.new_index()
        first, *rest = events_of(index, fault)
        await self.apply(first)
        for event in rest:
            schedule(event)
        return index


@dataclass(frozen=True, slots=True)
class LinkHandle:
    """A link of a live run, as ``emu.link("cam3")``. Times in emulated seconds, rates in bit/s or as text
    (``"800kbit"``), probabilities from 0 to 1. Each method returns the fault's index."""

    name: str
    injector: FaultInjector
    clock: Clock
    schedule: Callable[[FaultEvent], None]

    async def down(self, duration: float | None = None) -> int:
        """Breaks the link; with ``duration`` it comes back by itself.

        ``bottleneck`` and ``downlink`` are one wire: taking either down cuts both ways.
        """
        return await self._inject("down", _lasting(duration))

    async def up(self) -> int:
        """Mends the link."""
        return await self._inject("up", True)

    async def flap(self, *, down: float, up: float, times: int) -> int:
        """Breaks the link ``times`` over, for ``down`` each time and with ``up`` in between."""
        return await self._inject("flap", {"down": _time(down), "up": _time(up), "times": times})

    async def cliff(self, *, rate: float | str, duration: float | None = None) -> int:
        """Caps the rate; with ``duration`` it comes back by itself."""
        return await self._inject("cliff", {"rate": _rate(rate), **_lasting(duration)})

    async def blackhole(self, direction: Literal["up", "down"] = "up", duration: float | None = None) -> int:
        """Loses everything in one direction; with ``duration`` for so long."""
        return await self._inject("blackhole", {"direction": direction, **_lasting(duration)})

    async def set(
        self,
        *,
        rate: float | str | None = None,
        delay: float | None = None,
        jitter: float | None = None,
        loss: float | None = None,
        duplicate: float | None = None,
        corrupt: float | None = None,
    ) -> int:
        """Changes what is given; a delay also of the way back of a camera's uplink."""
        values = {
            "rate": None if rate is None else _rate(rate),
            "delay": None if delay is None else _time(delay),
            "jitter": None if jitter is None else _time(jitter),
            "loss": None if loss is None else _fraction(loss),
            "duplicate": None if duplicate is None else _fraction(duplicate),
            "corrupt": None if corrupt is None else _fraction(corrupt),
        }
        return await self._inject("set", {key: value for key, value in values.items() if value is not None})

    async def _inject(self, kind: str, values: object) -> int:
        data = {"at": _time(self.clock.now()), "on": self.name, kind: values}
        return await self.injector.inject(read_fault(data), self.schedule)


def read_fault(data: dict[str, object]) -> FaultSection:
    """A fault from plain data. Raises ``ScenarioError`` that says what is wrong."""
    try:
        return FaultSection.model_validate(data)
    except ValueError as error:
        raise ScenarioError(f"no fault: {error}") from error


def _lasting(duration: float | None) -> dict[str, str]:
    return {} if duration is None else {"for": _time(duration)}


def _time(seconds: float) -> str:
    return f"{max(0.0, seconds)!r}s"


def _rate(rate: float | str) -> str:
    return rate if isinstance(rate, str) else units.format_rate(float(rate))


def _fraction(value: float) -> str:
    return units.format_fraction(value)
