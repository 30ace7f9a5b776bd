"""The encoder at every size, frame rate and target, in one report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import netns
from ecco_emu.bench.host import describe
from ecco_emu.bench.video.encoder import CodedStream, measure
from ecco_emu.bench.video.street import street
from ecco_emu.host import event_loop
from ecco_emu.study.tables import NOTHING, Table

CONFIGURATIONS = ((320, 192, 2), (320, 192, 5), (320, 192, 10), (640, 360, 2), (640, 360, 10), (640, 360, 15))
"""Width, height, frames per second."""
RATES_KBPS = (50, 100, 200, 400, 800, 2000)
_HEADINGS = (
    "size",
    "fps",
    "target kbit/s",
    "got",
    "median |error|",
    "worst |error|",
    ">15 % over twice",
    "at floor",
    "at ceiling",
    "tries",
    "CPU ms/frame",
    "PSNR dB",
)


@dataclass(frozen=True, slots=True)
class VideoReport:
    """The encoder's figures on this host, a stream for each configuration and target."""

    host: str
    streams: tuple[CodedStream, ...]

    def table(self) -> Table:
        return Table(f"Encoder: {self.host}", _HEADINGS, tuple(map(_row, self.streams)))

    def as_data(self) -> dict[str, Any]:
        return {"host": self.host, "streams": [asdict(one) for one in self.streams]}


def measure_all(segments: int, seed: int, progress: Callable[[str], None]) -> VideoReport:
    """Codes ``segments`` segments for each fixed rate, and for a target that jumps between the rates at
    random. ``progress`` is told each configuration when it
    begins."""
    capabilities = event_loop.run(netns.probe())
    rng = np.random.default_rng(seed)
    streams: list[CodedStream] = []
    for width, height, fps in CONFIGURATIONS:
        progress(f"{width}×{height}, {fps} fps")
        pictures = street(width, height, fps, fps * segments, seed)
        jumping = [int(rng.choice(RATES_KBPS)) for _ in range(segments)]
        targets: Sequence[Sequence[int]] = (*([kbps] * segments for kbps in RATES_KBPS), jumping)
        streams += [measure(pictures, fps, some) for some in targets]
    return VideoReport(describe(capabilities), tuple(streams))


def _row(one: CodedStream) -> tuple[str, ...]:
    return (
        f"{one.width}×{one.height}",
        str(one.fps),
        f"{min(RATES_KBPS)}–{max(RATES_KBPS)}, jumping" if one.target_kbps is None else str(one.target_kbps),
        f"{one.got_kbps:.0f}",
        _percent(one.median_error),
        _percent(one.worst_error),
        str(one.over_15_twice),
        str(one.at_floor),
        str(one.at_ceiling),
        f"{one.attempts:.1f}",
        f"{one.ms_per_frame:.1f}",
        f"{one.psnr_db:.1f}",
    )


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"
