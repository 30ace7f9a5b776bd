"""Measures how near the encoder's segments come to their targets, what they cost and how they look.

    python tests/benchmarks/bench_video.py [--segments 12] [--seed 1] [--json]

Prints the tables of docs/notes/video.md: one row per size, frame rate and target, and one for a target that
jumps between them. The pictures are a synthetic street (``street``), so that the benchmark needs no
renderer; errors are of the whole stream against the target and leave out the first three segments.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter

from ecco_emu.core.frames import Image
from ecco_emu.video import SegmentEncoder, decode
from ecco_emu.video.rate_model import CRF_MAX, CRF_MIN

CONFIGURATIONS = ((320, 192, 2), (320, 192, 5), (320, 192, 10), (640, 360, 2), (640, 360, 10), (640, 360, 15))
RATES_KBPS = (50, 100, 200, 400, 800, 2000)
WARM_UP = 3


@dataclass(frozen=True)
class Row:
    width: int
    height: int
    fps: int
    target_kbps: int | None
    """None: the target changes from segment to segment."""
    got_kbps: float
    median_error: float | None
    """None: no segment could meet the target."""
    worst_error: float | None
    over_15_twice: int
    """How often two segments running were more than 15 % over."""
    at_floor: int
    """(Left out of the errors.) Segments that even the coarsest quantiser left over the target."""
    at_ceiling: int
    """(Left out of the errors.) Segments that even the finest quantiser left under the target."""
    attempts: float
    ms_per_frame: float
    psnr_db: float


def street(width: int, height: int, fps: float, count: int, seed: int, grain: float = 1.5) -> list[Image]:
    """A street with moving cars, smooth shading and a little sensor grain; ``count`` pictures at ``fps``."""
    rng = np.random.default_rng(seed)
    scale = 2  # drawn larger and reduced: the antialiased edges of a renderer
    size = (width * scale, height * scale)
    texture = rng.normal(0, 1, (height // 6 + 2, width // 6 + 2, 1)).repeat(3, axis=2)
    ground = Pillow.fromarray((120 + 25 * texture).clip(0, 255).astype(np.uint8)).resize(size)
    draw = ImageDraw.Draw(ground)
    for _ in range(24):
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1] * 0.3)
        shade = tuple(int(v) for v in rng.integers(90, 180) + rng.integers(-20, 20, 3))
        draw.rectangle([x, y, x + size[0] / 10, y + size[1] / 5], fill=shade)
    cars = [
        (
            rng.uniform(0, size[0]),
            rng.uniform(0.4, 0.9) * size[1],
            rng.uniform(-0.25, 0.25) * size[0],
            tuple(int(v) for v in rng.integers(40, 200, 3)),
            rng.uniform(0.04, 0.1) * size[0],
        )
        for _ in range(16)
    ]
    pictures = []
    for index in range(count):
        picture = ground.copy()
        draw = ImageDraw.Draw(picture)
        for start, y, speed, paint, length in cars:
            x = (start + speed * index / fps) % size[0]
            draw.rectangle([x, y, x + length, y + length / 2], fill=paint)
            draw.rectangle([x + length / 5, y, x + length * 4 / 5, y + length / 5], fill=(40, 50, 60))
        small = picture.filter(ImageFilter.GaussianBlur(1)).resize((width, height), Pillow.Resampling.BOX)
        noisy = np.asarray(small, np.float32) + rng.normal(0, grain, (height, width, 1))
        pictures.append(noisy.clip(0, 255).astype(np.uint8))
    return pictures


def psnr_db(before: Sequence[Image], after: Sequence[Image]) -> float:
    """Peak signal-to-noise ratio over all pixels of all pictures."""
    difference = np.asarray(before, np.float64) - np.asarray(after, np.float64)
    return float(10 * np.log10(255**2 / max(float(np.mean(difference**2)), 1e-9)))


def measure(pictures: Sequence[Image], fps: int, targets_kbps: Sequence[int]) -> Row:
    """Codes one segment of a second per target and sums up."""
    height, width, _ = pictures[0].shape
    encoder = SegmentEncoder(width, height, fps)
    errors, sizes, attempts, quality = [], [], [], []
    floor = ceiling = 0
    spent_s = 0.0
    for number, kbps in enumerate(targets_kbps):
        images = pictures[number * fps : (number + 1) * fps]
        begun = time.thread_time()
        coded = encoder.encode(images, kbps * 1000)
        spent_s += time.thread_time() - begun
        error = coded.bits / (kbps * 1000) - 1
        stuck_over, stuck_under = coded.crf >= CRF_MAX and error > 0.04, coded.crf <= CRF_MIN and error < -0.1
        floor, ceiling = floor + stuck_over, ceiling + stuck_under
        sizes.append(coded.bits / 1000)
        attempts.append(coded.attempts)
        if not (stuck_over or stuck_under):
            errors.append((number, error))
        quality.append(psnr_db(images, decode(coded.data, fps, width, height)))
    late = [abs(error) for number, error in errors if number >= WARM_UP]
    over = {number for number, error in errors if error > 0.15}
    return Row(
        width,
        height,
        fps,
        targets_kbps[0] if len(set(targets_kbps)) == 1 else None,
        statistics.mean(sizes),
        statistics.median(late) if late else None,
        max(late, default=None),
        sum(number + 1 in over for number in over),
        floor,
        ceiling,
        statistics.mean(attempts),
        spent_s * 1000 / len(pictures),
        statistics.mean(quality),
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def report(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| size | fps | target kbit/s | got | median \\|error\\| | worst \\|error\\| | >15 % over twice "
        "| at floor | at ceiling | tries | CPU ms/frame | PSNR dB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        target = "50–2000, jumping" if row.target_kbps is None else str(row.target_kbps)
        lines.append(
            f"| {row.width}×{row.height} | {row.fps} | {target} | {row.got_kbps:.0f} "
            f"| {_percent(row.median_error)} | {_percent(row.worst_error)} "
            f"| {row.over_15_twice} | {row.at_floor} | {row.at_ceiling} "
            f"| {row.attempts:.1f} | {row.ms_per_frame:.1f} | {row.psnr_db:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="encoder benchmark")
    parser.add_argument("--segments", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    rows = []
    for width, height, fps in CONFIGURATIONS:
        pictures = street(width, height, fps, fps * options.segments, options.seed)
        rows += [measure(pictures, fps, [kbps] * options.segments) for kbps in RATES_KBPS]
        jumping = [int(rng.choice(RATES_KBPS)) for _ in range(options.segments)]
        rows.append(measure(pictures, fps, jumping))
    sys.stdout.write(json.dumps([asdict(row) for row in rows]) if options.json else report(rows))
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
