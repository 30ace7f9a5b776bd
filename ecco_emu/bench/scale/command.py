"""What runs cost by their number of cameras, on both engines, in one report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ecco_emu.bench.host import describe
from ecco_emu.bench.scale import results
from ecco_emu.bench.scale.running import CostPoint, ScaleEngine, measure
from ecco_emu.core.errors import HostError, ScenarioError
from ecco_emu.emulation import preflight
from ecco_emu.host.workers import WorkerProcess
from ecco_emu.scenario.schema import MOST_CAMERAS
from ecco_emu.study.tables import Table


@dataclass(frozen=True, slots=True)
class ScaleReport:
    host: str
    seconds: float
    points: tuple[CostPoint, ...]
    notes: tuple[str, ...]

    def tables(self) -> list[Table]:
        return results.tables(
            self.points, f"cost of {self.seconds:g} s, trainer curve ({self.host})", self.notes
        )

    def picture(self) -> str:
        """An SVG document."""
        return results.picture(self.points)

    def as_data(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "seconds": self.seconds,
            "points": [{**asdict(one), "parts": results.by_part(one)} for one in self.points],
            "bound": results.bound(self.points),
            "notes": self.notes,
        }


async def run(
    cameras: Sequence[int], seconds: float, most_real: int, progress: Callable[[str], None]
) -> ScaleReport:
    """Measures every number of cameras, the fewest first, each in a process of its own. Real links, for which
    root's privileges are needed, up to ``most_real`` cameras. Raises ``ScenarioError`` for too many."""
    if max(cameras) > MOST_CAMERAS:
        raise ScenarioError(f"a scenario has at most {MOST_CAMERAS} cameras, not {max(cameras)}")
    capabilities = await preflight.host()
    wanted: list[tuple[ScaleEngine, int]] = [("simulated", count) for count in sorted(set(cameras))]
    notes = []
    if capabilities.obstacle is None:
        wanted += [("real", count) for count in sorted(set(cameras)) if count <= most_real]
    else:
        notes.append(f"No real links: this host builds none ({capabilities.obstacle}).")
    points: list[CostPoint] = []
    for engine, count in wanted:
        progress(f"{count} cameras, {engine}")
        # of its own: memory is then that of this number of cameras
        worker = WorkerProcess(f"bench of {count} cameras")
        try:
            points.append(await worker.call(measure, engine, count, seconds))
        except HostError as error:
            notes.append(f"{count} cameras, {engine}: {error}")
            break  # more cameras need more of the host
        finally:
            worker.close()
    return ScaleReport(describe(capabilities), seconds, tuple(points), tuple(notes))
