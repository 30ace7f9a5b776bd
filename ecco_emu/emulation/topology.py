"""From a scenario's network to the link lab's: emulated units become the host's (``core.clock``).

Each camera is a node with its uplink as egress; the server is a node whose ingress is the shared
bottleneck (the switch's port towards it) and whose egress is the shared downlink. Rates are divided
by the dilation and delays multiplied by it; a queue keeps its length in bytes. A trace is stretched alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import netns
from ecco_emu.core import units
from ecco_emu.core.clock import EmulatedTime
from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.faults import SHARED_LINKS, LinkSet
from ecco_emu.scenario import schema
from ecco_emu.scenario.profiles import trace_path
from ecco_emu.scenario.sections.network import LinkTraceSection, ShapeSection, UplinkSection

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


def return_shape(uplink: UplinkSection) -> ShapeSection:
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


def lab_spec(scenario: schema.Scenario, dilation: float) -> netns.LabSpec:
    """The link lab of a scenario. Raises ``ScenarioError`` for a trace that cannot be read."""
    changing = {node_of(replay.on) for replay in replays(scenario, dilation) if replay.trace.impairs}
    for fault in scenario.faults:
        if isinstance(fault.change, LinkSet) and fault.change.impairs:
            changing.add(node_of(fault.change.on))
    links = [
        netns.LinkSpec(
            SERVER,
            ingress=_first_shape(scenario.network.bottleneck, dilation),
            egress=_first_shape(scenario.network.downlink, dilation),
            live_impairments=SERVER in changing,
        )
    ]
    for camera in scenario.cameras:
        uplink = scenario.uplink_of(camera)
        links.append(
            netns.LinkSpec(
                camera.id,
                egress=_first_shape(uplink, dilation),
                ingress=host_shape(return_shape(uplink), dilation),
                live_impairments=camera.id in changing,
            )
        )
    return netns.LabSpec(links=tuple(links), engine=scenario.network.engine, seed=scenario.seed)


def _first_shape(shape: ShapeSection, dilation: float) -> netns.Shape:
    """A link's shape when it is built.

    A link whose rate only its trace sets begins with the trace's highest rate: an engine that cannot combine
    a rate with the link's impairments then says so before anything is built, not when the trace begins to
    play.
    """
    host = host_shape(shape, dilation)
    if shape.trace is None or host.rate_bps is not None:
        return host
    rates = [point.rate_bps for point in _load(shape.trace.file).points if point.rate_bps]
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
        try:
            lab.link(node_of(self.on)).replay(
                self.trace, direction=direction_of(self.on), loop=self.loop, start_s=self.start_s
            )
        except netns.LabError as error:
            raise ScenarioError(f"the trace of {self.on} cannot be played: {error}") from error

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
    time = EmulatedTime(dilation)
    return [
        Replay(on, _load(trace.file).stretched(dilation), trace.loop, time.wall_duration(trace.start), time)
        for on, trace in _traced(scenario)
    ]


def _traced(scenario: schema.Scenario) -> Iterator[tuple[str, LinkTraceSection]]:
    shapes: list[tuple[str, ShapeSection]] = [
        ("bottleneck", scenario.network.bottleneck),
        ("downlink", scenario.network.downlink),
        *((camera.id, scenario.uplink_of(camera)) for camera in scenario.cameras),
    ]
    for on, shape in shapes:
        if shape.trace is not None:
            yield on, shape.trace


def _load(name: str) -> netns.Trace:
    try:
        return netns.Trace.load(trace_path(name))
    except netns.SpecError as error:
        raise ScenarioError(f"trace: {error}") from error


def trace_problem(path: Path, shape: ShapeSection) -> str | None:
    """The fault of a trace's file for a link, or None (``scenario.semantics.TraceCheck``)."""
    try:
        trace = netns.Trace.load(path)
    except netns.SpecError as error:
        return str(error)
    if shape.trace is not None and shape.trace.start >= trace.duration_s:
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
