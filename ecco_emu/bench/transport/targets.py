"""What the transport must reach, beside what was measured. Pure.

Of repeated measurements the median counts; of several cells, links or changes the worst. Figures are of
one mapping: the last of ``linear``, ``root``, ``auto`` that was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ecco_emu.bench.transport.experiment import HOST_BPS, Mapping
from ecco_emu.bench.transport.records import Figure, Record, of_cost, of_result, reached, table
from ecco_emu.bench.transport.situations import RESPONSE_TARGETS_S

SHARE_ERROR = 0.05
UTILISATION = 0.95
LOSS = 0.02
US_PER_PACKET = 50.0
AIOQUIC_FACTOR = 2.0
LAG_S = 0.005
_GROUPS = ("shares", "fig11", "convergence")
_PREFERENCE: tuple[Mapping, ...] = ("linear", "root", "auto")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target. ``limit`` is the most ``value`` should be, or with ``at_least`` the least."""

    what: str
    value: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def judged_mapping(measured: Iterable[Mapping]) -> Mapping:
    """Which of the mappings that were measured has to reach the targets."""
    return max(measured, key=_PREFERENCE.index, default="linear")


def judged(records: Sequence[Record]) -> list[Verdict]:
    """Every target of which something was measured."""
    used = {one.experiment.cell.mapping for one in records if one.experiment.group in _GROUPS}
    mapping = judged_mapping(used)
    verdicts: list[Verdict] = []
    for way in ("simulated", "real"):
        chosen = [one for one in records if one.way == way and one.experiment.cell.mapping == mapping]
        verdicts += _links(chosen, f"{way}, {mapping}")
    return verdicts + _costs(records)


def _links(records: Sequence[Record], where: str) -> list[Verdict]:
    """Verdicts on records of one way and mapping."""
    found = []
    errors = _medians(records, "shares", of_result("share_error"))
    if errors:
        within = sum(error <= SHARE_ERROR for error in errors) / len(errors)
        what = f"cells of {len(errors)} with a share error of at most {SHARE_ERROR * 100:g} %; {where}"
        found.append(Verdict(what, within * 100, 100.0, "%", at_least=True))
    for name, what, limit, worst in (
        ("share_error", "share error", SHARE_ERROR, max),
        ("utilisation", "bottleneck used", UTILISATION, min),
        ("loss", "loss", LOSS, max),
    ):
        values = _medians(records, "fig11", of_result(name))
        if values:
            pick: Callable[[Iterable[float]], float] = worst
            found.append(
                Verdict(f"fig11, {what}; {where}", 100 * pick(values), 100 * limit, "%", worst is min)
            )
    queues = _medians(records, "fig11", _queue_fill)
    if queues:
        found.append(Verdict(f"fig11, queue's p95 of its length; {where}", 100 * max(queues), 100.0, "%"))
    return found + _changes(records, where)


def _changes(records: Sequence[Record], where: str) -> list[Verdict]:
    limits = {
        record.experiment.label: RESPONSE_TARGETS_S[record.response.of]
        for record in records
        if record.response is not None
    }
    times = table(records, "convergence", reached)
    return [
        Verdict(f"{label}, followed; {where}", spread.median, limits[label], "s")
        for label, by_column in times.items()
        for spread in by_column.values()
    ]


def _costs(records: Sequence[Record]) -> list[Verdict]:
    costs = [one for one in records if one.cost is not None]
    found = []
    ours = [one for one in costs if one.cost and one.cost.protocol == "ecco-emu"]
    for where, some in (
        ("a shaped link", [one for one in ours if one.experiment.cell.rate_bps < HOST_BPS]),
        ("loopback", [one for one in ours if one.experiment.cell.rate_bps == HOST_BPS]),
    ):
        values = _medians(some, "cost", of_cost("us_per_packet"))
        if values:
            found.append(
                Verdict(f"CPU per data packet, both ends, {where}", max(values), US_PER_PACKET, "µs")
            )
    found += _beside_aioquic(costs)
    lags = _medians(
        [one for one in costs if one.cost and one.cost.protocol is None], "cost", of_cost("lag_p99_s")
    )
    if lags:
        found.append(Verdict("100 flows on one core, loop lag p99", 1e3 * max(lags), 1e3 * LAG_S, "ms"))
    return found


def _beside_aioquic(costs: Sequence[Record]) -> list[Verdict]:
    """On the shaped link."""
    efficiency = {}
    for protocol in ("ecco-emu", "aioquic"):
        some = [
            one
            for one in costs
            if one.cost and one.cost.protocol == protocol and one.experiment.cell.rate_bps < HOST_BPS
        ]
        values = _medians(some, "cost", of_cost("goodput_per_cpu_bps"))
        if not values:
            return []
        efficiency[protocol] = values[0]
    ratio = efficiency["ecco-emu"] / efficiency["aioquic"]
    return [
        Verdict("goodput per CPU second against aioquic's", ratio, AIOQUIC_FACTOR, "times", at_least=True)
    ]


def _queue_fill(record: Record) -> float | None:
    return None if record.result is None else record.result.queue_p95_s / record.experiment.cell.queue_s


def _medians(records: Sequence[Record], group: str, figure: Figure) -> list[float]:
    """Of each label, over repetitions."""
    return [
        spread.median for by_column in table(records, group, figure).values() for spread in by_column.values()
    ]
