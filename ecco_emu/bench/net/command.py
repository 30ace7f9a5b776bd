"""All of the link lab's figures in one report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import netns
from ecco_emu.bench import measurement
from ecco_emu.bench.host import describe
from ecco_emu.bench.measurement import Measurement
from ecco_emu.bench.net import cost, fidelity
from ecco_emu.emulation import preflight
from ecco_emu.emulation.lab_errors import lab_errors
from ecco_emu.scenario.profiles import profiles_dir
from ecco_emu.study.tables import Table


@dataclass(frozen=True, slots=True)
class NetReport:
    """The lab's figures on this host. ``notes`` name the figures that are missing, and why."""

    host: str
    figures: tuple[Measurement, ...]
    notes: tuple[str, ...]

    def table(self) -> Table:
        made = measurement.table(self.host, self.figures, "{:.3g}".format)
        return Table(made.title, made.headings, made.rows, self.notes)

    def as_data(self) -> dict[str, Any]:
        figures = [
            {"name": one.name, "value": one.value, "unit": one.unit, "target": one.target, "met": one.met}
            for one in self.figures
        ]
        return {"host": self.host, "figures": figures, "notes": self.notes}


async def measure(seconds: float, progress: Callable[[str], None]) -> NetReport:
    """Measures everything, each stretch of traffic for ``seconds``: about four minutes in all for 10 s.
    ``progress`` is told each step when it begins. Raises ``HostError`` without root's privileges."""
    capabilities = await preflight.require_labs()
    steps = _steps(seconds)
    notes = []
    missing = cost.mininet_missing()
    if missing is None:
        steps.append(("Mininet", cost.mininet_times))
    else:
        notes.append(f"not compared with Mininet: {missing}")
    figures: list[Measurement] = []
    for what, step in steps:
        progress(what)
        with lab_errors(what):
            figures += await step()
    return NetReport(describe(capabilities), tuple(figures), tuple(notes))


def _steps(seconds: float) -> list[tuple[str, Callable[[], Awaitable[list[Measurement]]]]]:
    lte = netns.Trace.load(profiles_dir() / "links" / "lte.mahimahi")
    wifi = netns.Trace.load(profiles_dir() / "links" / "wifi.csv")
    whole = round(seconds)
    return [
        ("building and taking down", cost.build_times),
        ("the relay's cost", lambda: cost.relay_cost(seconds)),
        ("rates", lambda: fidelity.rate_errors(seconds)),
        ("rates that change", lambda: fidelity.changing_rate_error(seconds)),
        ("a trace like LTE", lambda: fidelity.trace_errors(lte, "lte", whole)),
        ("a trace like Wi-Fi", lambda: fidelity.trace_errors(wifi, "wifi", whole)),
        ("delay and loss", lambda: fidelity.delay_and_loss(seconds)),
        ("faults", fidelity.fault_times),
    ]
