"""Whole simulated runs of a small scenario, in this process and in others."""

from __future__ import annotations

import json
from pathlib import Path

from ecco_emu import Emulation

SCENARIO = Path(__file__).with_name("two.yaml")


def simulated(out: Path, *overrides: str, **options) -> Emulation:
    return Emulation.from_file(SCENARIO, out=out, overrides=overrides, **options)


async def finished(out: Path, *overrides: str) -> list[str]:
    """The events of a whole run."""
    async with simulated(out, *overrides) as emu:
        await emu.finish()
    return decided(emu.directory)


def decided(directory: Path) -> list[str]:
    """The lines of a run's log without the wall's time, which alone may differ."""
    lines = []
    for line in (directory / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        del event["wall"]
        lines.append(json.dumps(event))
    return lines


def of_kind(lines: list[str], kind: str) -> list[dict]:
    return [event for event in map(json.loads, lines) if event["kind"] == kind]
