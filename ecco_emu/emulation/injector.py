"""Faults while the run goes on: the scenario's, at their times, and those a person or test injects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import netns
from ecco_emu.core.errors import HostError, ScenarioError
from ecco_emu.core.events import AnyEvent, FaultApplied
from ecco_emu.core.faults import (
    SHARED_LINKS,
    LinkBlackhole,
    LinkChange,
    LinkCliff,
    LinkDown,
    LinkSet,
    LinkUp,
    NetworkPartition,
    action,
    where,
)
from ecco_emu.core.units import BaseUnit
from ecco_emu.emulation.lab_errors import lab_errors
from ecco_emu.emulation.topology import direction_of, lab_changes, node_of
from ecco_emu.host.clock import RunClock
from ecco_emu.scenario.faults.line import fault_of
from ecco_emu.scenario.faults.timeline import FaultStep, steps_of, unknown_link, unknown_nodes
from ecco_emu.scenario.sections.faults import FaultSection

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
        clock: RunClock,
        emit: Callable[[AnyEvent], None],
    ) -> None:
        self._lab = lab
        self._cameras = tuple(cameras)
        self._clock = clock
        self._emit = emit
        self._applying: asyncio.TaskGroup | None = None
        """Changes under way and steps still to come; open while ``run`` goes on."""
        self._early: list[Sequence[FaultStep]] = []
        """The later steps of faults that were injected before ``run`` began."""
        self._over = False
        self._broken: dict[int, netns.FaultHandle] = {}
        """The lab's faults that are in force, by the scenario fault's index."""
        self._next_index = scheduled
        """Faults injected by hand are numbered after the scenario's own."""

    async def run(self, timeline: Sequence[FaultStep]) -> None:
        """Applies the scenario's steps and those of injected faults at their times, until it is cancelled.

        Raises a group with the errors of ``apply``.
        """
        async with asyncio.TaskGroup() as self._applying:
            try:
                for steps in (timeline, *self._early):
                    self._go_through(steps)
                await asyncio.Event().wait()  # faults can be injected as long as the run goes on
            finally:
                # inside the group: while it waits for its tasks to end, it takes no new ones
                self._applying, self._over = None, True

    async def inject(self, fault: FaultSection) -> int:
        """Applies a fault's first change now and the rest at their times; returns its index.

        Raises ``ScenarioError`` for names that are not there, ``HostError`` once the run is over.
        """
        wrong = unknown_nodes(fault, self._cameras)
        if wrong:
            raise ScenarioError("; ".join(message for _, message in wrong))
        if self._over:
            raise HostError("the run takes no faults any more: it ends")
        index = self._next_index
        self._next_index += 1
        first, *rest = steps_of(index, fault)
        await self.apply(first)
        self._go_through(rest)
        return index

    def _go_through(self, steps: Sequence[FaultStep]) -> None:
        """Has the steps applied at their times, by one task: timers due at one time keep no order of their
        own."""
        if self._applying is not None:
            self._applying.create_task(self._walk(steps, self._applying))
        elif not self._over:  # a script's first statement may come before the run's first turn of the loop
            self._early.append(steps)

    async def _walk(self, steps: Sequence[FaultStep], applying: asyncio.TaskGroup) -> None:
        for step in steps:
            await self._clock.sleep_until(step.at - self._clock.emulated_duration(AHEAD_WALL_S))
            applying.create_task(self.apply(step))

    async def apply(self, step: FaultStep) -> None:
        """Applies a change at its time, or at once when that is past, and puts it on record.

        Raises ``ScenarioError`` for a change that the link cannot make, ``HostError`` for one that the host
        cannot.
        """
        doing = f"fault {where(step.change)} {action(step.change, step.phase)}"
        with lab_errors(doing, incapable=ScenarioError):
            applied = await self._carry_out(step)
        self._emit(
            FaultApplied(
                t=self._clock.now(),
                index=step.index,
                phase=step.phase,
                change=step.change,
                requested=step.at,
                applied=applied,
            )
        )

    async def _carry_out(self, step: FaultStep) -> float:
        """Returns the emulated time at which the change held."""
        in_s = max(0.0, self._clock.wall_duration(step.at - self._clock.now()))
        if step.phase == "end":
            handle = self._broken.pop(step.index, None)
            if handle is None:  # the link was mended before its time
                return self._clock.now()
            await handle.end(in_s=in_s)
            return self._clock.emulated(handle.log[-1].applied_s)
        if isinstance(step.change, (LinkUp, LinkSet)):
            await self._clock.sleep_until(step.at)
            await self._change_link(step.change)
            return self._clock.now()
        handle = self._lab.schedule(self._fault(step.change), in_s=in_s)
        self._broken[step.index] = handle
        await handle.began()
        return self._clock.emulated(handle.log[0].applied_s)

    async def _change_link(self, change: LinkUp | LinkSet) -> None:
        self.check(change.on)
        link = self._lab.link(node_of(change.on))
        if isinstance(change, LinkUp):
            await link.up()
            return
        for direction, settings in lab_changes(change, self._clock):
            await link.set(direction=direction, **settings)

    def _fault(self, change: LinkChange) -> netns.Fault:
        """The link lab's fault that does this."""
        if isinstance(change, NetworkPartition):
            return netns.Partition(*change.sets)
        self.check(change.on)
        node = node_of(change.on)
        match change:
            case LinkCliff():
                return netns.RateCliff(node, direction_of(change.on), self._clock.wall_rate(change.rate_bps))
            case LinkBlackhole() if change.on in SHARED_LINKS:
                return netns.Blackhole(node, direction_of(change.on))
            case LinkBlackhole():
                return netns.Blackhole(node, "egress" if change.direction == "up" else "ingress")
            case LinkDown():
                return netns.Down(node)
        raise AssertionError(f"{change} is no fault that lasts")

    def check(self, on: str) -> None:
        """Raises ``ScenarioError`` for a link that does not exist."""
        wrong = unknown_link(on, self._cameras)
        if wrong is not None:
            raise ScenarioError(wrong)


@dataclass(frozen=True, slots=True)
class LinkHandle:
    """A link of a live run, as ``emu.link("cam3")``. Times in emulated seconds, rates in bit/s or as text
    (``"800kbit"``), probabilities from 0 to 1. Each method returns the fault's index."""

    name: str
    injecting: Callable[[FaultSection], Awaitable[int]]
    """``FaultInjector.inject``."""
    clock: RunClock

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
        return await self._inject("flap", {"down": _quantity(down), "up": _quantity(up), "times": times})

    async def cliff(self, *, rate: float | str, duration: float | None = None) -> int:
        """Caps the rate; with ``duration`` it comes back by itself."""
        return await self._inject("cliff", {"rate": _quantity(rate), **_lasting(duration)})

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
        """Changes the values that are given. A delay also changes the way back of a camera's uplink."""
        values = {
            "rate": rate,
            "delay": delay,
            "jitter": jitter,
            "loss": loss,
            "duplicate": duplicate,
            "corrupt": corrupt,
        }
        return await self._inject(
            "set", {key: _quantity(value) for key, value in values.items() if value is not None}
        )

    async def _inject(self, kind: str, values: object) -> int:
        now = BaseUnit(max(0.0, self.clock.now()))
        fault = fault_of({"at": now, "on": self.name, kind: values}, f"{self.name} {kind}")
        return await self.injecting(fault)


def _lasting(duration: float | None) -> dict[str, object]:
    return {} if duration is None else {"for": _quantity(duration)}


def _quantity(value: float | str) -> object:
    """Text is read with its unit, as in YAML; a number is in the base unit."""
    return value if isinstance(value, str) else BaseUnit(value)
