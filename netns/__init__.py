"""A link lab: network namespaces joined by links whose rate, delay, jitter and loss are under control.

    async with Lab(LabSpec(links=(LinkSpec("cam1", egress=Shape(rate_bps=1e6)), LinkSpec("server")))) as lab:
        sock = await lab.udp_socket("cam1")

``spec`` describes a lab. ``planning`` turns the description into a list of devices, addresses and queueing
disciplines (pure). ``build`` makes these and removes them (blocking, in one thread). ``lab`` is the asyncio
interface to it. ``relay`` is the process that delays and loses packets where the kernel cannot. ``simulated``
has the same links without packets, devices or privileges, on the event loop's clock. The package knows
nothing of the traffic on its links. All its values are in wall units: bit/s, seconds, bytes.

A name is imported when it is first used, because the relay process imports this package too, needs none of
the names and must start quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netns.capabilities import Capabilities, host_capabilities, probe
    from netns.capture import Capture
    from netns.counters import DirectionCounters, LinkCounters
    from netns.errors import (
        CapabilityError,
        LabError,
        LinkVanishedError,
        PrivilegeError,
        RelayDiedError,
        SpecError,
    )
    from netns.faults import Applied, Blackhole, Down, Fault, FaultHandle, Flap, Partition, RateCliff
    from netns.impairment import BurstLoss
    from netns.inside import enter
    from netns.lab import KEEP, Keep, Lab, Link
    from netns.planning import Plan, changed_plan, plan
    from netns.simulated.ports import DatagramPort
    from netns.spec import MAX_DELAY_S, MAX_QUEUE_BYTES, RATE_RANGE_BPS, Direction, LabSpec, LinkSpec, Shape
    from netns.traces import Playback, Trace, TracePoint

_HOME = {
    "enter": "inside",
    "Capture": "capture",
    "Applied": "faults",
    "Blackhole": "faults",
    "Down": "faults",
    "Fault": "faults",
    "FaultHandle": "faults",
    "Flap": "faults",
    "Partition": "faults",
    "RateCliff": "faults",
    "Playback": "traces",
    "Trace": "traces",
    "TracePoint": "traces",
    "BurstLoss": "impairment",
    "Capabilities": "capabilities",
    "host_capabilities": "capabilities",
    "probe": "capabilities",
    "DirectionCounters": "counters",
    "LinkCounters": "counters",
    "CapabilityError": "errors",
    "LabError": "errors",
    "LinkVanishedError": "errors",
    "PrivilegeError": "errors",
    "RelayDiedError": "errors",
    "SpecError": "errors",
    "KEEP": "lab",
    "Keep": "lab",
    "Lab": "lab",
    "Link": "lab",
    "DatagramPort": "simulated.ports",
    "Plan": "planning",
    "changed_plan": "planning",
    "plan": "planning",
    "MAX_DELAY_S": "spec",
    "MAX_QUEUE_BYTES": "spec",
    "RATE_RANGE_BPS": "spec",
    "Direction": "spec",
    "LabSpec": "spec",
    "LinkSpec": "spec",
    "Shape": "spec",
}

__all__ = [
    "KEEP",
    "MAX_DELAY_S",
    "MAX_QUEUE_BYTES",
    "RATE_RANGE_BPS",
    "Applied",
    "Blackhole",
    "BurstLoss",
    "Capabilities",
    "CapabilityError",
    "Capture",
    "DatagramPort",
    "Direction",
    "DirectionCounters",
    "Down",
    "Fault",
    "FaultHandle",
    "Flap",
    "Keep",
    "Lab",
    "LabError",
    "LabSpec",
    "Link",
    "LinkCounters",
    "LinkSpec",
    "LinkVanishedError",
    "Partition",
    "Plan",
    "Playback",
    "PrivilegeError",
    "RateCliff",
    "RelayDiedError",
    "Shape",
    "SpecError",
    "Trace",
    "TracePoint",
    "changed_plan",
    "enter",
    "host_capabilities",
    "plan",
    "probe",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'netns' has no attribute {name!r}")
    return getattr(import_module(f"netns.{_HOME[name]}"), name)
