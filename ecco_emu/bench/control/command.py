"""The control loop's decisions on the town, in one report."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ecco_emu.bench.control import joins, splits
from ecco_emu.bench.control.joins import Joined
from ecco_emu.bench.control.splits import CameraWindows
from ecco_emu.core.ids import model_hash
from ecco_emu.host.workers import WorkerProcess
from ecco_emu.scenario.profiles import student_path
from ecco_emu.study.tables import Table
from ecco_emu.trainer.client import InferenceClient

STUDENT = "yolo11n-town"


@dataclass(frozen=True, slots=True)
class ControlReport:
    host: str
    members: tuple[CameraWindows, ...]
    joined: tuple[Joined, ...]

    def tables(self) -> list[Table]:
        tables = splits.judge(self.members).tables() if self.members else []
        return tables + ([joins.table(self.joined)] if self.joined else [])

    def as_data(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "splits": asdict(splits.judge(self.members)) if self.members else None,
            "joins": [asdict(each) for each in self.joined],
        }

    def write_estimates(self, path: Path) -> None:
        """The cameras' estimates, one JSON line each: enough to judge other rules without measuring again."""
        lines = [json.dumps(splits.as_record(member)) for member in self.members]
        path.write_text("".join(line + "\n" for line in lines))


async def measure(cameras: int, seeds: int, progress: Callable[[str], None]) -> ControlReport:
    """``cameras`` members for the splits, ``seeds`` seeds of each pair of weathers for the joins."""
    student = student_path(STUDENT).read_bytes()
    painter = WorkerProcess("rendering")
    inference = InferenceClient()
    try:
        await inference.start()
        await inference.add_model(model_hash(student), student)
        members = await splits.measure(cameras, model_hash(student), inference, painter, progress)
        joined = []
        for seed in range(seeds):
            for alike, foreign in joins.PAIRS:
                progress(f"joins: seed {seed + 1} of {seeds}, three in {alike}, one in {foreign}")
                joined.append(await joins.run(seed, alike, foreign, student, painter))
    finally:
        await inference.close()
        painter.close()
    return ControlReport(_host(), tuple(members), tuple(joined))


def _host() -> str:
    return f"{len(os.sched_getaffinity(0))} CPUs, {platform.machine()}, Python {platform.python_version()}"
