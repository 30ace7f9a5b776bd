"""What ``ecco-emu bench transport`` runs, in which order, and how many at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import netns
from ecco_emu.bench.transport import cost, matrix, real, records, simulated, situations
from ecco_emu.bench.transport.experiment import Experiment, Mapping, Way
from ecco_emu.bench.transport.measures import respond
from ecco_emu.bench.transport.records import Record
from ecco_emu.control.shares import ALPHA_SUM
from ecco_emu.core.errors import EccoError, HostError
from ecco_emu.study.pool import Pool

Part = Literal["shares", "fig11", "convergence", "real", "cost"]
PARTS: tuple[Part, ...] = ("shares", "fig11", "convergence", "real", "cost")
GROUPS = ("shares", "fig11", "convergence")

ALONE, TOGETHER = "alone", "side by side"
"""Groups of the check that labs do not disturb each other."""
CORE_BPS = 15e6
"""Traffic through labs at one time, for each core: about half of it in CPU, relay included."""
REAL_S, MOST_REPEATS = 25 * 60.0, 5
"""Half an hour on real links, less the time for labs to be built and to be checked side by side."""
COST_REPEATS, COST_WARMUP_S, COST_S = 3, 3.0, 10.0
REFERENCE: Mapping = "linear"
"""The paper's mapping: beside the others, and once only where there is much to measure."""


OnPhase = Callable[[str, int], None]
"""Told what comes next, and of how many measurements that is."""
OnRecord = Callable[[Record], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What to run. ``seeds``: repetitions of simulated experiments; ``repeats``: of those on real links,
    None for as many as half an hour has room for.
    ``jobs`` simulations, or ``side_by_side`` labs, run at one time."""

    only: tuple[Part, ...] = ()
    quick: bool = False
    """Simulate no more of the matrix than is measured on real links."""
    full: bool = False
    """Measure the whole matrix on real links too."""
    mappings: tuple[Mapping, ...] = ("linear", "auto")
    seeds: int = 5
    repeats: int | None = None
    jobs: int = 2
    side_by_side: int = 4
    warmup_s: float = 20.0
    measure_s: float = 60.0
    after_s: float = 30.0
    """How long a change is watched."""
    alpha_sum: float | None = ALPHA_SUM
    """See ``Cell``."""

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.only or PARTS

    @property
    def groups(self) -> tuple[str, ...]:
        """Of experiments; ``real`` alone means all of them."""
        return tuple(group for group in GROUPS if group in self.parts) or GROUPS

    @property
    def ways(self) -> tuple[Way, ...]:
        ways: list[Way] = []
        if any(group in self.parts for group in GROUPS):
            ways.append("simulated")
        if "real" in self.parts:
            ways.append("real")
        return tuple(ways)


def planned(options: Options, way: Way) -> list[Experiment]:
    """The experiments of one way, as they will be run: repetition by repetition."""
    if way == "simulated":
        return _repeated(options, way, options.seeds)
    counts = [options.repeats] if options.repeats is not None else range(MOST_REPEATS, 0, -1)
    plans = (_repeated(options, way, count) for count in counts)
    return next(
        (p for p in plans if estimated_s(p, options.side_by_side) <= REAL_S),
        _repeated(options, way, counts[-1]),
    )


def _repeated(options: Options, way: Way, count: int) -> list[Experiment]:
    mappings = options.mappings
    whole = options.full or (way == "simulated" and not options.quick)
    points = matrix.full() if whole else matrix.spanning()
    times = (options.warmup_s, options.measure_s)
    found: list[Experiment] = []
    if "shares" in options.groups:
        found += matrix.experiments(points, mappings, count, *times)
    if "fig11" in options.groups:
        found += situations.fig11(mappings, count, *times)
    if "convergence" in options.groups:
        found += situations.convergence(mappings, count, options.warmup_s, options.after_s)
    spared = GROUPS if way == "real" else ("shares",) if whole else ()
    found = [one for one in found if one.group not in spared or not _repeats_reference(one, mappings)]
    found = [replace(one, cell=replace(one.cell, alpha_sum=options.alpha_sum)) for one in found]
    # What needs most of the host first, so that the rest can fill what it leaves.
    return sorted(found, key=lambda one: (one.cell.seed, -one.cell.rate_bps if way == "real" else 0.0))


def _repeats_reference(experiment: Experiment, mappings: Sequence[Mapping]) -> bool:
    """A repetition to leave out where there is much: half an hour has to be enough for real links."""
    cell = experiment.cell
    return cell.mapping == REFERENCE and len(mappings) > 1 and cell.seed > 0


def undisturbed(options: Options) -> tuple[list[Experiment], list[Experiment]]:
    """The same two experiments to be run one by one, and all at one time with as many more as labs may run
    side by side: do labs disturb each other?"""
    points = [point for point in matrix.spanning() if point.rate_bps == 6e6 and point.loss < 0.01][:2]
    mapping = options.mappings[-1] if options.mappings else REFERENCE

    def some(group: str, count: int) -> list[Experiment]:
        return [
            Experiment(group, point.label, point.cell(mapping, seed, options.warmup_s, options.measure_s / 2))
            for seed in range(-(-count // 2))
            for point in points
        ][:count]

    return some(ALONE, 2), some(TOGETHER, max(2, options.side_by_side))


def perform(experiment: Experiment, way: Way) -> Record:
    """Runs one experiment in the calling process. What this host cannot do is recorded, not raised."""
    started = time.monotonic()
    cell, change = experiment.cell, experiment.change
    result, response = None, None
    try:
        if change is None:
            result = simulated.simulate(cell) if way == "simulated" else real.run_cell(cell)
        else:
            trace = simulated.trace if way == "simulated" else real.run_trace
            response = respond(cell, change, trace(cell, change))
    except EccoError as error:
        return records.failure(experiment, way, error)
    return Record(experiment, way, result, response, took_s=time.monotonic() - started)


def estimated_s(experiments: Sequence[Experiment], side_by_side: int) -> float:
    """About how long experiments on real links take."""
    room = side_by_side_bps()
    work = sum(one.cell.duration_s * max(1 / side_by_side, one.cell.rate_bps / room) for one in experiments)
    longest = max((one.cell.duration_s for one in experiments), default=0.0)
    return work + longest


def side_by_side_bps() -> float:
    """How much traffic labs may carry at one time on this host."""
    return CORE_BPS * len(os.sched_getaffinity(0))


async def require_labs() -> None:
    """Raises ``HostError`` where labs cannot be built."""
    capabilities = await netns.probe()
    if not capabilities.privileged:
        raise HostError(
            f"real links need root: {capabilities.reasons.get('privileged', 'run it with sudo')}. "
            "Without: --only shares, fig11 or convergence"
        )


async def run(experiments: Sequence[Experiment], way: Way, options: Options, on_record: OnRecord) -> None:
    """Runs experiments side by side; ``on_record`` gets each one's record when it ends."""
    calls = [(experiment, way) for experiment in experiments]

    def done(_: int, record: Record) -> None:
        on_record(record)

    if way == "simulated":
        async with Pool("simulation", options.jobs) as pool:
            await pool.run(perform, calls, done)
        return
    if not experiments:
        return
    async with Pool("real links", min(options.side_by_side, len(experiments)), real.NICENESS) as pool:
        await pool.run(
            perform,
            calls,
            done,
            load=lambda index: real.load_bps(experiments[index]),
            capacity=side_by_side_bps(),
        )


async def run_all(options: Options, known: Sequence[Record], on_phase: OnPhase, on_record: OnRecord) -> None:
    """Runs whatever the options ask for and ``known`` does not have. Raises ``HostError`` at once where
    something of it needs labs that this host cannot build."""
    if {"real", "cost"} & set(options.parts):
        await require_labs()
    for way in options.ways:
        todo = records.missing(planned(options, way), way, known)
        on_phase(f"{way} links", len(todo))
        await run(todo, way, options, on_record)
    if "real" in options.parts:
        await _check_undisturbed(options, known, on_phase, on_record)
    if "cost" in options.parts:
        seconds = min(options.measure_s, COST_S)
        found = {one.experiment for one in known if one.unsupported is None}
        cases = [
            one for one in cost.cases(COST_REPEATS, COST_WARMUP_S, seconds) if one.experiment not in found
        ]
        on_phase("cost", len(cases))
        await cost.run(cases, on_record)


async def _check_undisturbed(
    options: Options, known: Sequence[Record], on_phase: OnPhase, on_record: OnRecord
) -> None:
    alone, together = (records.missing(some, "real", known) for some in undisturbed(options))
    on_phase("do labs disturb each other?", len(alone) + len(together))
    await run(alone, "real", replace(options, side_by_side=1), on_record)
    await run(together, "real", options, on_record)
