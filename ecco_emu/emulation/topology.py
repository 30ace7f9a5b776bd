"""From a scenario's network to the link lab's: emulated units become the host's (``core.clock``).

Each camera is a node with its uplink as egress; the server is a node whose ingress is the shared
bottleneck (the switch's port towards it) and whose egress is the shared downlink. Rates are divided
by the dilation and delays multiplied by it; a queue keeps its length in bytes. A trace is stretched alike.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import netns
from ecco_emu.core import units
from ecco_emu.core.clock import EmulatedTime
from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.faults import SHARED_LINKS, LinkSet
from ecco_emu.emulation.lab_errors import lab_errors
from ecco_emu.scenario import schema
from ecco_emu.scenario.profiles import trace_path
from ecco_emu.scenario.sections.faults import FaultSection
from ecco_emu.scenario.sections.network import ShapeSection

SERVER = "server"
DEFAULT_QUEUE_S = 0.2
"""A link whose queue the scenario leaves open holds this much at its rate."""


def host_shape(shape: ShapeSection, dilation: float) -> netns.Shape:
    """One direction of a link in wall units."""
    queue_s = shape.queue if shape.queue is not None else DEFAULT_QUEUE_S
    limited = shape.rate is not None or shape.trace is not None
    burst = shape.burst_loss
    time = EmulatedTime(dilation)
    return netns.Shape(
        rate_bps=None if shape.rate is None else time.wall_rate(shape.rate),
        queue_s=time.wall_duration(queue_s) if limited else None,
        delay_s=time.wall_duration(shape.delay),
        jitter_s=time.wall_duration(shape.jitter),
        jitter_distribution=shape.jitter_distribution,
        loss=shape.loss,
        burst_loss=netns.BurstLoss.of(burst.mean, burst.packets) if burst is not None else None,
        reorder=shape.reorder,
        duplicate=shape.duplicate,
        corrupt=shape.corrupt,
    )


def return_shape(uplink: ShapeSection) -> ShapeSection:
    """The way back over a camera's access link: same delay and losses, its own rate not limited."""
    return uplink.model_copy(update={"rate": None, "queue": None, "trace": None})


def node_of(on: str) -> str:
    """The node whose link a scenario's link is."""
    return SERVER if on in SHARED_LINKS else on


def direction_of(on: str) -> netns.Direction:
    """The direction whose rate the scenario names: a camera's uplink, the bottleneck towards the server, the
    downlink away from it."""
    return "ingress" if on == "bottleneck" else "egress"


def directions_of(on: str) -> tuple[netns.Direction, ...]:
    """The directions whose delay and losses the scenario names: both of a camera's uplink, one of a shared
    link."""
    return (direction_of(on),) if on in SHARED_LINKS else ("egress", "ingress")


def links_of(scenario: schema.Scenario) -> dict[str, ShapeSection]:
    """Every link of a scenario by its name: bottleneck, downlink and the cameras' ids."""
    return {
        "bottleneck": scenario.network.bottleneck,
        "downlink": scenario.network.downlink,
        **{camera.id: scenario.uplink_of(camera) for camera in scenario.cameras},
    }


def lab_spec(scenario: schema.Scenario, dilation: float) -> netns.LabSpec:
    """The link lab of a scenario. Raises ``ScenarioError`` for a trace that cannot be read, ``SpecError`` for
    a link that the lab cannot have at this dilation (``limits`` finds those before a run)."""
    specs = link_specs(links_of(scenario), scenario.faults, dilation)
    return netns.LabSpec(links=tuple(specs), engine=scenario.network.engine, seed=scenario.seed)


def link_specs(
    links: Mapping[str, ShapeSection], faults: Iterable[FaultSection], dilation: float
) -> list[netns.LinkSpec]:
    """The lab's links for those of a scenario. The server is left out if neither of its two is there."""
    changing = {node_of(replay.on) for replay in replays_of(links, dilation) if replay.trace.impairs}
    for fault in faults:
        if isinstance(fault.change, LinkSet) and fault.change.impairs:
            changing.add(node_of(fault.change.on))
    shapes: dict[str, dict[netns.Direction, netns.Shape]] = {}
    for name, shape in links.items():
        shapes.setdefault(node_of(name), {}).update(_host_shapes(name, shape, dilation))
    return [
        netns.LinkSpec(node, **directions, live_impairments=node in changing)
        for node, directions in shapes.items()
    ]


def _host_shapes(name: str, shape: ShapeSection, dilation: float) -> dict[netns.Direction, netns.Shape]:
    """The directions that one of the scenario's links sets."""
    first = _first_shape(shape, dilation)
    if name in SHARED_LINKS:
        return {direction_of(name): first}
    return {"egress": first, "ingress": host_shape(return_shape(shape), dilation)}


def lab_changes(change: LinkSet, time: WallUnits) -> list[tuple[netns.Direction, dict[str, Any]]]:
    """The settings of the lab's link that a ``set`` changes, in wall units, by direction."""
    changes: dict[str, Any] = {
        "loss": change.loss,
        "duplicate": change.duplicate,
        "corrupt": change.corrupt,
        "delay_s": None if change.delay_s is None else time.wall_duration(change.delay_s),
        "jitter_s": None if change.jitter_s is None else time.wall_duration(change.jitter_s),
    }
    impairments = {name: value for name, value in changes.items() if value is not None}
    if change.burst_loss is not None:
        impairments["burst_loss"] = netns.BurstLoss.of(change.burst_loss.mean, change.burst_loss.packets)
    elif change.loss is not None:
        impairments["burst_loss"] = None  # one kind of loss takes the other's place
    found: list[tuple[netns.Direction, dict[str, Any]]] = []
    if change.rate_bps is not None:
        found.append((direction_of(change.on), {"rate_bps": time.wall_rate(change.rate_bps)}))
    if impairments:
        found += [(direction, impairments) for direction in directions_of(change.on)]
    return found


class WallUnits(Protocol):
    """Converts emulated durations and rates: ``EmulatedTime``, or a run's clock."""

    def wall_duration(self, emulated_s: float) -> float: ...

    def wall_rate(self, emulated_bps: float) -> float: ...


def _first_shape(shape: ShapeSection, dilation: float) -> netns.Shape:
    """A link's shape when it is built.

    A link whose rate only its trace sets begins with the trace's highest rate: an engine that cannot combine
    a rate with the link's impairments then says so before anything is built, not when the trace begins to
    play.
    """
    host = host_shape(shape, dilation)
    if shape.trace is None or host.rate_bps is not None:
        return host
    rates = [point.rate_bps for point in load_trace(shape.trace.file).points if point.rate_bps]
    return replace(host, rate_bps=EmulatedTime(dilation).wall_rate(max(rates))) if rates else host


@dataclass(frozen=True, slots=True)
class Replay:
    """A trace on a link of the scenario, stretched by the dilation."""

    on: str
    trace: netns.Trace
    loop: bool
    start_s: float
    """Wall seconds into the stretched trace."""
    time: EmulatedTime

    def begin(self, lab: netns.Lab) -> None:
        """Plays it from now on. Raises ``ScenarioError`` for a trace that the link cannot play."""
        with lab_errors(f"the trace of {self.on} cannot be played", incapable=ScenarioError):
            lab.link(node_of(self.on)).replay(
                self.trace, direction=direction_of(self.on), loop=self.loop, start_s=self.start_s
            )

    def mean_rate_bps(self, since_s: float, until_s: float) -> float:
        """The link's mean rate between two moments since it began, in emulated units; there must be time
        between them."""
        begin, end = (self.start_s + self.time.wall_duration(moment) for moment in (since_s, until_s))
        bits = self.trace.bits_until(end, loop=self.loop) - self.trace.bits_until(begin, loop=self.loop)
        return bits / (until_s - since_s)

    @property
    def sets_rate(self) -> bool:
        return any(point.rate_bps is not None for point in self.trace.points)


def replays(scenario: schema.Scenario, dilation: float) -> list[Replay]:
    """Every trace of a scenario. Raises ``ScenarioError`` for one that cannot be read."""
    return replays_of(links_of(scenario), dilation)


def replays_of(links: Mapping[str, ShapeSection], dilation: float) -> list[Replay]:
    """The traces of these links. Raises ``ScenarioError`` for one that cannot be read."""
    time = EmulatedTime(dilation)
    traced = {on: shape.trace for on, shape in links.items() if shape.trace is not None}
    return [
        Replay(on, load_trace(trace.file, dilation), trace.loop, time.wall_duration(trace.start), time)
        for on, trace in traced.items()
    ]


def load_trace(name: str, dilation: float = 1.0) -> netns.Trace:
    """The trace of that name or path, stretched by the dilation. Its file is read once, for as long as it
    stays as it is, however many links follow it.

    Raises ``ScenarioError`` that names the file and the line.
    """
    path = trace_path(name)
    try:
        about = path.stat()
    except OSError as error:
        raise ScenarioError(f"trace: {path}: cannot be read: {error}") from error
    with lab_errors("trace"):
        return _stretched(path, about.st_mtime_ns, about.st_size, dilation)


@functools.lru_cache(maxsize=64)
def _stretched(path: Path, changed_ns: int, size: int, dilation: float) -> netns.Trace:
    whole = netns.Trace.load(path) if dilation == 1 else _stretched(path, changed_ns, size, 1.0)
    return whole if dilation == 1 else whole.stretched(dilation)


def trace_problem(shape: ShapeSection) -> str | None:
    """The fault of the content of a link's trace, or None."""
    assert shape.trace is not None
    try:
        trace = load_trace(shape.trace.file)
    except ScenarioError as error:
        return str(error).removeprefix("trace: ")
    if shape.trace.start >= trace.duration_s:
        length = units.format_time(trace.duration_s)
        return f"start ({units.format_time(shape.trace.start)}) is not within the trace, which lasts {length}"
    least_s = min((point.delay_s for point in trace.points if point.delay_s is not None), default=None)
    if least_s is not None and shape.jitter > least_s:
        return (
            f"jitter ({units.format_time(shape.jitter)}) cannot be larger than the trace's least delay "
            f"({units.format_time(least_s)})"
        )
    if least_s == 0 and shape.reorder:
        return "reorder needs a delay, and the trace's is 0 at times"
    return None
