"""The network that a run of a scenario would make, without making it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import netns
from ecco_emu.core import units
from ecco_emu.core.faults import action, where
from ecco_emu.emulation import checking, preflight
from ecco_emu.emulation.lab_errors import lab_errors
from ecco_emu.emulation.topology import lab_spec, replays
from ecco_emu.scenario import schema
from ecco_emu.scenario.faults.timeline import timeline


async def plan(
    scenario: Path, overrides: Sequence[str] = (), dilation: str | None = None, engine: str | None = None
) -> list[str]:
    """The network that a run of a scenario would make, in lines. Needs no root."""
    capabilities = await preflight.host()
    # off the loop: a scenario's traces may be long
    return await asyncio.to_thread(_planned, scenario, overrides, dilation, engine, capabilities)


def _planned(
    path: Path,
    overrides: Sequence[str],
    dilation: str | None,
    engine: str | None,
    capabilities: netns.Capabilities,
) -> list[str]:
    scenario = checking.load(path, overrides, dilation=dilation, engine=engine, files=False).scenario
    if scenario.simulated:
        with lab_errors("this network cannot be made"):
            return [*netns.plan(lab_spec(scenario, 1.0)).describe(), *_course(scenario, 1.0)]
    notes = []
    if scenario.dilation == "auto":
        notes.append("dilation auto is measured by a run: rates and delays below are emulated ones")
    as_root = capabilities.as_root()
    if capabilities.obstacle is not None:
        notes.append(f"a run is not possible like this: {capabilities.obstacle}")
    if as_root is None:
        notes.append(
            "without privileges it is not known what this kernel can do: planned for one that can do all; "
            "a run takes the engine relay where sch_netem is missing"
        )
    factor = 1.0 if scenario.dilation == "auto" else scenario.dilation
    with lab_errors("this network cannot be made"):
        made = netns.plan(lab_spec(scenario, factor), as_root)
    return [*made.describe(), *_course(scenario, factor), *notes]


def _course(scenario: schema.Scenario, dilation: float) -> Iterator[str]:
    """The changes of the network while the run goes on: traces, and faults at their emulated times."""
    for replay in replays(scenario, dilation):
        lasts = f"{replay.trace.duration_s:g} s{', over and over' if replay.loop else ''}"
        yield f"trace on {replay.on}: from {replay.start_s:g} s of {lasts}"
    for step in timeline(scenario):
        yield f"at {units.format_time(step.at)}: {where(step.change)} {action(step.change, step.phase)}"
