"""Targets of the transport beside its measurements. Pure.

Of repeated measurements the median counts, and of several cells, links or changes the worst. Only one mapping
has to reach the targets: the last of ``linear``, ``root``, ``auto`` that was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ecco_emu.bench.measurement import Measurement
from ecco_emu.bench.transport.experiment import HOST_BPS
from ecco_emu.bench.transport.records import Reading, Record, of_cost, of_result, reached, table
from ecco_emu.bench.transport.situations import RESPONSE_TARGETS_S
from ecco_emu.control.shares import AlphaMapping

SHARE_ERROR = 0.05
UTILISATION = 0.95
LOSS = 0.02
US_PER_PACKET = 50.0
AIOQUIC_FACTOR = 2.0
LAG_S = 0.005
_GROUPS = ("shares", "fig11", "convergence")
_PREFERENCE: tuple[AlphaMapping, ...] = ("linear", "root", "auto")


def judged_mapping(measured: Iterable[AlphaMapping]) -> AlphaMapping:
    """The one of the measured mappings that has to reach the targets."""
    return max(measured, key=_PREFERENCE.index, default="linear")


def judged(records: Sequence[Record]) -> list[Measurement]:
    """Every target for which there is a measurement."""
    used = {one.experiment.cell.mapping for one in records if one.experiment.group in _GROUPS}
    mapping = judged_mapping(used)
    found: list[Measurement] = []
    for way in ("simulated", "real"):
        chosen = [one for one in records if one.way == way and one.experiment.cell.mapping == mapping]
        found += _links(chosen, f"{way}, {mapping}")
    return found + _costs(records)


def _links(records: Sequence[Record], where: str) -> list[Measurement]:
    """Targets for shares and for changes, of records of one way and mapping."""
    found = []
    errors = _medians(records, "shares", of_result("share_error"))
    if errors:
        within = sum(error <= SHARE_ERROR for error in errors) / len(errors)
        name = f"cells of {len(errors)} with a share error of at most {SHARE_ERROR * 100:g} %; {where}"
        found.append(Measurement(name, within * 100, "%", 100.0, at_least=True))
    return found + _fig11(records, where) + _changes(records, where)


def _fig11(records: Sequence[Record], where: str) -> list[Measurement]:
    found = []
    figures: tuple[tuple[str, Reading, float, Callable[[Iterable[float]], float]], ...] = (
        ("share error", of_result("share_error"), SHARE_ERROR, max),
        ("bottleneck used", of_result("utilisation"), UTILISATION, min),
        ("loss", of_result("loss"), LOSS, max),
        ("queue's p95 of its length", _queue_fill, 1.0, max),
    )
    for what, reading, target, worst in figures:
        values = _medians(records, "fig11", reading)
        if values:
            name, value = f"fig11, {what}; {where}", 100 * worst(values)
            # The worst is the least only of a figure that should be large.
            found.append(Measurement(name, value, "%", 100 * target, at_least=worst is min))
    return found


def _changes(records: Sequence[Record], where: str) -> list[Measurement]:
    targets = {
        record.experiment.label: RESPONSE_TARGETS_S[record.response.of]
        for record in records
        if record.response is not None
    }
    times = table(records, "convergence", reached)
    return [
        Measurement(f"{label}, followed; {where}", spread.median, "s", targets[label])
        for label, by_column in times.items()
        for spread in by_column.values()
    ]


def _costs(records: Sequence[Record]) -> list[Measurement]:
    costs = [one for one in records if one.cost is not None]
    found = []
    ours = [one for one in costs if one.cost and one.cost.protocol == "ecco-emu"]
    for where, some in (
        ("a shaped link", [one for one in ours if one.experiment.cell.rate_bps < HOST_BPS]),
        ("loopback", [one for one in ours if one.experiment.cell.rate_bps == HOST_BPS]),
    ):
        values = _medians(some, "cost", of_cost("us_per_packet"))
        if values:
            name = f"CPU per data packet, both ends, {where}"
            found.append(Measurement(name, max(values), "µs", US_PER_PACKET))
    found += _beside_aioquic(costs)
    many = [one for one in costs if one.cost and one.cost.protocol is None]
    lags = _medians(many, "cost", of_cost("lag_p99_s"))
    if lags:
        name = "100 flows on one core, loop lag p99"
        found.append(Measurement(name, 1e3 * max(lags), "ms", 1e3 * LAG_S))
    return found


def _beside_aioquic(costs: Sequence[Record]) -> list[Measurement]:
    """On the shaped link, where both have the same goodput; nothing if one of the two was not measured."""
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
    name = "goodput per CPU second against aioquic's"
    return [Measurement(name, ratio, "times", AIOQUIC_FACTOR, at_least=True)]


def _queue_fill(record: Record) -> float | None:
    return None if record.result is None else record.result.queue_p95_s / record.experiment.cell.queue_s


def _medians(records: Sequence[Record], group: str, reading: Reading) -> list[float]:
    """Of each label, over repetitions."""
    by_label = table(records, group, reading)
    return [spread.median for by_column in by_label.values() for spread in by_column.values()]
