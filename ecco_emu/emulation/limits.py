"""The link lab's limits, held against a scenario before it runs.

A scenario's rates and delays are emulated ones. The lab's limits are in units of the wall, so the dilation
decides. Every link is tried at the dilation of the run or, for ``auto``, at both ends of the dilations that
every scenario must bear: a link that is possible at both is possible between them, because a rate only falls
and a delay only grows with the dilation. Values are compared with the lab's ranges first, for messages with a
way out. Then the lab's own plan is made, and every fault and trace is tried on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import netns
from ecco_emu.core import units
from ecco_emu.core.clock import EmulatedTime
from ecco_emu.core.errors import HostError, ScenarioError
from ecco_emu.core.faults import LinkCliff, LinkSet
from ecco_emu.emulation.topology import (
    DEFAULT_QUEUE_S,
    direction_of,
    lab_changes,
    link_specs,
    load_trace,
    node_of,
    replays_of,
)
from ecco_emu.scenario.dump import to_mapping
from ecco_emu.scenario.problems import Finding, Path, path_text
from ecco_emu.scenario.schema import Scenario
from ecco_emu.scenario.sections.faults import FaultSection
from ecco_emu.scenario.sections.network import Engine, ShapeSection
from ecco_emu.scenario.semantics import Draft

AUTO_REACH = 16.0
"""``dilation: auto`` may choose anything from 1 to this whatever the host, so a scenario must bear both. A
host that needs more gets it if the scenario's links bear it (``require``)."""


def findings(draft: Draft) -> Iterator[Finding]:
    """Everything in the network that the lab could not do, at the dilations that the run may have."""
    if draft.clock is None:
        return
    if draft.engine == "simulated":
        yield from _at(draft, 1.0, "")
        return
    if draft.clock.dilation != "auto":
        yield from _at(draft, draft.clock.dilation, "")
        return
    for dilation in (1.0, AUTO_REACH):
        yield from _at(draft, dilation, ", which auto may choose,")


def require(scenario: Scenario, dilation: float) -> None:
    """Raises ``HostError`` if the scenario's links cannot be made at the dilation that this host needs."""
    found = next(_at(Draft.of(to_mapping(scenario)), dilation, ""), None)
    if found is not None:
        path, message = found
        raise HostError(
            f"this host needs a dilation of {dilation:g} for this scenario, whose links do not bear it: "
            f"{path_text(path)}: {message}"
        )


def _at(draft: Draft, dilation: float, words: str) -> Iterator[Finding]:
    limits = _Limits(EmulatedTime(dilation), f"at a dilation of {dilation:g}{words}")
    shapes = draft.shapes()
    beyond = {path: list(limits.of_shape(path, shape)) for path, shape in dict(shapes.values()).items()}
    wrong_faults = {
        index: list(limits.of_fault(index, fault))
        for index, fault in enumerate(draft.faults)
        if fault is not None
    }
    for found in (*beyond.values(), *wrong_faults.values()):
        yield from found
    # whatever is beyond a limit already would only be refused again, in the lab's own words
    possible = {name: each for name, each in shapes.items() if not beyond[each[0]] and _readable(each[1])}
    faults = {
        index: fault
        for index, fault in enumerate(draft.faults)
        if fault is not None and not wrong_faults[index]
    }
    yield from _Trial(limits, draft.engine, possible, faults).findings()


def _readable(shape: ShapeSection) -> bool:
    try:
        return shape.trace is None or bool(load_trace(shape.trace.file))
    except ScenarioError:  # a problem of its own
        return False


@dataclass(frozen=True, slots=True)
class _Limits:
    """The lab's ranges at one dilation."""

    time: EmulatedTime
    called: str
    """The dilation, in words."""

    def of_shape(self, path: Path, shape: ShapeSection) -> Iterator[Finding]:
        yield from self.of_values(path, rate=shape.rate, delay=shape.delay)
        if shape.rate is None and shape.trace is None:
            return  # no queue either
        queue = shape.queue if shape.queue is not None else DEFAULT_QUEUE_S
        yield from self._duration((*path, "queue"), queue)
        held = (shape.rate or 0.0) * queue / 8
        if held > netns.MAX_QUEUE_BYTES:
            most = units.format_time(_down(netns.MAX_QUEUE_BYTES * 8 / (shape.rate or 1.0)))
            yield (
                (*path, "queue"),
                f"{units.format_time(queue)} at {units.format_rate(shape.rate or 0.0)} are "
                f"{held / 2**30:.3g} GiB, and a link's queue holds {netns.MAX_QUEUE_BYTES / 2**30:g} GiB: "
                f"give at most {most}",
            )

    def of_fault(self, index: int, fault: FaultSection) -> Iterator[Finding]:
        if fault.set is not None:
            yield from self.of_values(("faults", index, "set"), rate=fault.set.rate, delay=fault.set.delay)
        if fault.cliff is not None:
            yield from self.of_values(("faults", index, "cliff"), rate=fault.cliff.rate, delay=None)

    def of_values(self, path: Path, *, rate: float | None, delay: float | None) -> Iterator[Finding]:
        if delay is not None:
            yield from self._duration((*path, "delay"), delay)
        if rate is None:
            return
        wall, (low, high) = self.time.wall_rate(rate), netns.RATE_RANGE_BPS
        if low <= wall <= high:
            return
        least = wall < low
        limit = low if least else high
        dilation = _down(rate / limit) if least else _up(rate / limit)
        yield (
            (*path, "rate"),
            f"{self.called} {units.format_rate(rate)} is {units.format_rate(wall)} of the wall, and a link's "
            f"{'least' if least else 'most'} is {units.format_rate(limit)}: give "
            f"{_bound(least)} {units.format_rate(limit * self.time.dilation)}, or a dilation of "
            f"{_bound(not least)} {dilation:g}",
        )

    def _duration(self, path: Path, seconds: float) -> Iterator[Finding]:
        wall, most = self.time.wall_duration(seconds), netns.MAX_DELAY_S
        if wall > most:
            yield (
                path,
                f"{self.called} {units.format_time(seconds)} is {units.format_time(wall)} of the wall, and a "
                f"link's most is {units.format_time(most)}: give at most "
                f"{units.format_time(_down(most / self.time.dilation))}, or a dilation of at most "
                f"{_down(most / seconds):g}",
            )


def _bound(least: bool) -> str:
    return "at least" if least else "at most"


def _down(value: float) -> float:
    """Three digits of it, rounded down, so that a value which a message proposes is not refused again."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.floor(value / step + 1e-9) * step:.12g}")


def _up(value: float) -> float:
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.ceil(value / step - 1e-9) * step:.12g}")


@dataclass(frozen=True, slots=True)
class _Trial:
    """The lab's plan of every link, on which traces and faults are tried."""

    limits: _Limits
    engine: Engine
    links: Mapping[str, tuple[Path, ShapeSection]]
    faults: Mapping[int, FaultSection]

    def findings(self) -> Iterator[Finding]:
        plans: dict[str, netns.Plan] = {}
        changed = {fault.on for fault in self.faults.values()}
        tried: set[Path] = set()
        for name, (path, shape) in self.links.items():
            if path in tried and name not in changed:  # as a camera before it, which has no uplink of its own
                continue
            tried.add(path)
            try:
                plans[name] = self._plan(name, shape)
            except netns.LabError as error:
                yield path, self._refused(error)
        for name, plan in plans.items():
            yield from self._try_trace(name, plan)
        for index, fault in sorted(self.faults.items(), key=lambda item: (item[1].at, item[0])):
            yield from self._try_fault(index, fault, plans)

    def _plan(self, name: str, shape: ShapeSection) -> netns.Plan:
        specs = link_specs({name: shape}, self.faults.values(), self.limits.time.dilation)
        return netns.plan(netns.LabSpec(links=tuple(specs), engine=self._lab_engine()))

    def _lab_engine(self) -> Engine:
        """A lab has one engine: a link that the kernel cannot make puts all of them on the relay."""
        beyond_netem = any(shape.reorder and _has_rate(shape) for _, shape in self.links.values())
        return "relay" if self.engine == "auto" and beyond_netem else self.engine

    def _try_trace(self, name: str, plan: netns.Plan) -> Iterator[Finding]:
        path, shape = self.links[name]
        own_bps = plan.links[0].direction(direction_of(name)).shape.rate_bps
        for replay in replays_of({name: shape}, self.limits.time.dilation):
            for point in replay.trace.settings():
                changes = point.changes(own_bps or replay.trace.mean_rate_bps)
                try:
                    netns.changed_plan(plan, node_of(name), direction_of(name), changes)
                except netns.LabError as error:
                    yield (*path, "trace"), self._refused(error)
                    return

    def _try_fault(self, index: int, fault: FaultSection, plans: dict[str, netns.Plan]) -> Iterator[Finding]:
        """Tries a fault on the state that those before it left, and keeps the change of a ``set``."""
        change = fault.change
        if not isinstance(change, (LinkSet, LinkCliff)) or change.on not in plans:
            return
        plan, node = plans[change.on], node_of(change.on)
        try:
            if isinstance(change, LinkSet):
                for direction, settings in lab_changes(change, self.limits.time):
                    plan = netns.changed_plan(plan, node, direction, settings)
                plans[change.on] = plan
            else:
                cap = {"rate_bps": self.limits.time.wall_rate(change.rate_bps)}
                netns.changed_plan(plan, node, direction_of(change.on), cap)
        except netns.LabError as error:
            yield ("faults", index, fault.kind), self._refused(error)

    def _refused(self, error: netns.LabError) -> str:
        return f"{self.limits.called} the link lab cannot do this: {error}"


def _has_rate(shape: ShapeSection) -> bool:
    return shape.rate is not None or shape.trace is not None
