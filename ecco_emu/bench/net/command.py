"""``ecco-emu bench net``: all of the link lab's figures in one report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import netns
from ecco_emu.bench.host import describe
from ecco_emu.bench.net import Figure, cost, fidelity
from ecco_emu.core.errors import HostError
from ecco_emu.scenario.profiles import profiles_dir


async def measure(seconds: float, progress: Callable[[str], None]) -> dict[str, Any]:
    """Measures everything, some four minutes at the default length. Raises ``HostError``."""
    capabilities = await netns.probe()
    if not capabilities.privileged:
        raise HostError(f"a lab needs root: {capabilities.reasons.get('privileged', 'run it with sudo')}")
    lte = netns.Trace.load(profiles_dir() / "links" / "lte.mahimahi")
    wifi = netns.Trace.load(profiles_dir() / "links" / "wifi.csv")
    whole = round(seconds)
    steps: list[tuple[str, Callable[[], Awaitable[list[Figure]]]]] = [
        ("building and taking down", cost.build_times),
        ("the relay's cost", lambda: cost.relay_cost(seconds)),
        ("rates", lambda: fidelity.rate_errors(seconds)),
        ("rates that change", lambda: fidelity.changing_rate_error(seconds)),
        ("a trace like LTE", lambda: fidelity.trace_errors(lte, "lte", whole)),
        ("a trace like Wi-Fi", lambda: fidelity.trace_errors(wifi, "wifi", whole)),
        ("delay and loss", lambda: fidelity.delay_and_loss(seconds)),
        ("faults", fidelity.fault_times),
    ]
    notes = []
    missing = cost.mininet_missing()
    if missing is None:
        steps.append(("Mininet", cost.mininet_times))
    else:
        notes.append(f"not compared with Mininet: {missing}")
    figures: list[Figure] = []
    for what, step in steps:
        progress(what)
        figures += await step()
    return {
        "host": describe(capabilities),
        "figures": [figure.as_dict() for figure in figures],
        "notes": notes,
    }
