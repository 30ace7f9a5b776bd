"""Whether this host can run a scenario, found out before anything is started.

``doctor``, ``plan``, ``run`` and the benches ask here, and the pytest plugin asks the same probe: they agree.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import netns
from ecco_emu.core.errors import HostError
from ecco_emu.emulation.lab_errors import lab_errors
from ecco_emu.emulation.topology import lab_spec
from ecco_emu.host import extras
from ecco_emu.scenario import schema
from netns.descriptors import make_room

_DESCRIPTORS = 96
"""Open files of a run beside its network's: the log, the workers' pipes, libraries that are imported."""
_DESCRIPTORS_PER_CAMERA = 5
"""Its connection's two transport traces, a file of its student, and a capture's socket and file."""


async def host() -> netns.Capabilities:
    """What this host can do, found out by trying; asked once per process."""
    return await asyncio.to_thread(netns.host_capabilities)


async def require_labs() -> netns.Capabilities:
    """What this host can do. Raises ``HostError``, with the way out, where it can build no network at all."""
    capabilities = await host()
    if capabilities.obstacle is not None:
        raise HostError(
            f"this host can build no network of namespaces: {capabilities.obstacle} "
            "(`ecco-emu doctor` shows what it can do)"
        )
    return capabilities


async def require(scenario: schema.Scenario) -> Sequence[str]:
    """Makes room for the scenario's open files, and returns what a run here must be told with.

    Raises ``HostError``, with the way out, where this host cannot run the scenario.
    """
    if scenario.trainer.backend == "yolo":
        extras.YOLO.require()
    if scenario.simulated:  # such a network is made of nothing
        return ()
    capabilities = await require_labs()
    await asyncio.to_thread(_require_network, scenario, capabilities)
    return capabilities.caveats


def _require_network(scenario: schema.Scenario, capabilities: netns.Capabilities) -> None:
    dilation = scenario.dilation
    with lab_errors("this host cannot run the scenario"):
        spec = lab_spec(scenario, 1.0 if dilation == "auto" else dilation)
        plan = netns.plan(spec, capabilities)
        make_room(plan.descriptors + _DESCRIPTORS + _DESCRIPTORS_PER_CAMERA * len(scenario.cameras))
