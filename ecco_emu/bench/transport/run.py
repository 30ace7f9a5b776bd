"""The plan of a run of the benchmark: which experiments, in which order, and how many at one time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ecco_emu.bench.transport import cost, matrix, real, records, simulated, situations
from ecco_emu.bench.transport.experiment import Experiment, Way
from ecco_emu.bench.transport.measures import respond
from ecco_emu.bench.transport.records import Record
from ecco_emu.control.shares import ALPHA_SUM, AlphaMapping
from ecco_emu.core.errors import EccoError, HostError
from ecco_emu.emulation import preflight
from ecco_emu.study.pool import Pool

Part = Literal["shares", "fig11", "convergence", "real", "cost"]
"""A part of the benchmark. The first three are groups of experiments, which are simulated; with ``real`` they
run on real links too."""
PARTS: tuple[Part, ...] = ("shares", "fig11", "convergence", "real", "cost")
GROUPS = ("shares", "fig11", "convergence")
"""Of experiments, each run in both ways."""

ALONE, TOGETHER = "alone", "side by side"
"""The two groups of the check that labs side by side do not disturb each other."""
CORE_BPS = 15e6
"""The traffic of all labs at one time, for each core. It takes about half of the core, relay included."""
REAL_S, MOST_REPEATS = 25 * 60.0, 5
"""The time for experiments on real links: half an hour, less the time to build labs and to check that they do
not disturb each other. Experiments are repeated as often as fits, but not more than this."""
COST_REPEATS, COST_WARMUP_S, COST_S = 3, 3.0, 10.0
REFERENCE: AlphaMapping = "linear"
"""The paper's mapping. The others are compared with it; in large plans it is not repeated."""


OnPhase = Callable[[str, int], None]
"""Is told the next phase, and its number of measurements."""
OnRecord = Callable[[Record], None]
"""Is given each record when its run ends."""


@dataclass(frozen=True, slots=True)
class Options:
    """The parts to run, and how often."""

    only: tuple[Part, ...] = ()
    """Empty: all parts."""
    quick: bool = False
    """Simulate only the part of the matrix that is measured on real links."""
    full: bool = False
    """Measure the whole matrix on real links too."""
    mappings: tuple[AlphaMapping, ...] = ("linear", "auto")
    seeds: int = 5
    """Repetitions of simulated experiments."""
    repeats: int | None = None
    """Repetitions on real links; None: as many as fit into half an hour, five at most."""
    jobs: int = 2
    """Simulations at one time."""
    side_by_side: int = 4
    """Labs at one time, at most."""
    warmup_s: float = 20.0
    measure_s: float = 60.0
    after_s: float = 30.0
    """How long flows are watched after a change."""
    alpha_sum: float | None = ALPHA_SUM
    """See ``Cell``."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts to run."""
        return self.only or PARTS

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of experiments to run. ``real`` without any group means all groups."""
        return tuple(group for group in GROUPS if group in self.parts) or GROUPS

    @property
    def ways(self) -> tuple[Way, ...]:
        """The ways to run them."""
        ways: list[Way] = []
        if any(group in self.parts for group in GROUPS):
            ways.append("simulated")
        if "real" in self.parts:
            ways.append("real")
        return tuple(ways)


def planned(options: Options, way: Way) -> list[Experiment]:
    """The experiments of one way in the order of running, repetition by repetition."""
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
    # On real links the fastest come first: only few fit on the host at one time, and slow ones fill the gaps.
    return sorted(found, key=lambda one: (one.cell.seed, -one.cell.rate_bps if way == "real" else 0.0))


def _repeats_reference(experiment: Experiment, mappings: Sequence[AlphaMapping]) -> bool:
    """Whether this repeats an experiment with the reference mapping. Large plans leave such repetitions
    out."""
    cell = experiment.cell
    return cell.mapping == REFERENCE and len(mappings) > 1 and cell.seed > 0


def undisturbed(options: Options) -> tuple[list[Experiment], list[Experiment]]:
    """Two lists of the same two experiments, to check whether labs disturb each other. The experiments of the
    first are to be run one by one. The second repeats them until there is one for each lab that may run at
    one time; they are to be run side by side."""
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
    """Runs one experiment in the calling process. One that this host cannot run is recorded with the reason,
    not raised."""
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
        return Record(experiment, way, unsupported=str(error))
    return Record(experiment, way, result, response, took_s=time.monotonic() - started)


def estimated_s(experiments: Sequence[Experiment], side_by_side: int) -> float:
    """About how long experiments on real links take: each has to wait for its share of labs or of traffic,
    whichever is scarcer, and the last one to start is still running when the others are done."""
    room = side_by_side_bps()
    work = sum(one.cell.duration_s * max(1 / side_by_side, one.cell.rate_bps / room) for one in experiments)
    longest = max((one.cell.duration_s for one in experiments), default=0.0)
    return work + longest


def side_by_side_bps() -> float:
    """The traffic that labs may carry at one time on this host, bit/s."""
    return CORE_BPS * len(os.sched_getaffinity(0))


async def require_labs() -> None:
    """Raises ``HostError`` where labs cannot be built."""
    try:
        await preflight.require_labs()
    except HostError as error:
        raise HostError(f"{error}. Without real links: --only shares, fig11 or convergence") from error


async def run(experiments: Sequence[Experiment], way: Way, options: Options, on_record: OnRecord) -> None:
    """Runs experiments side by side, in child processes."""
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
            load=lambda index: experiments[index].cell.rate_bps,
            capacity=side_by_side_bps(),
        )


async def run_all(options: Options, known: Sequence[Record], on_phase: OnPhase, on_record: OnRecord) -> None:
    """Runs whatever the options ask for and ``known`` does not have.

    Raises ``HostError``, before anything runs, if a part needs labs and this host cannot build them.
    """
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
        cases = cost.cases(COST_REPEATS, COST_WARMUP_S, seconds)
        unknown = set(records.missing([one.experiment for one in cases], "real", known))
        cases = [one for one in cases if one.experiment in unknown]
        on_phase("cost", len(cases))
        await cost.run(cases, on_record)


async def _check_undisturbed(
    options: Options, known: Sequence[Record], on_phase: OnPhase, on_record: OnRecord
) -> None:
    alone, together = (records.missing(some, "real", known) for some in undisturbed(options))
    on_phase("do labs disturb each other?", len(alone) + len(together))
    await run(alone, "real", replace(options, side_by_side=1), on_record)
    await run(together, "real", options, on_record)
