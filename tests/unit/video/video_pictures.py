"""Moving pictures for the video tests: a shaded street with antialiased cars."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from ecco_emu.core.frames import Image


def moving(width: int, height: int, count: int, *, step_px: float = 6.0, seed: int = 3) -> list[Image]:
    """``count`` pictures of ``height`` x ``width`` x 3; cars move ``step_px`` from one to the next."""
    rng = np.random.default_rng(seed)
    texture = (120 + 30 * rng.normal(0, 1, (height // 6 + 2, width // 6 + 2))).clip(0, 255)
    ground = Pillow.fromarray(texture.astype(np.uint8)).convert("RGB").resize((2 * width, 2 * height))
    cars = [
        (
            rng.uniform(0, 2 * width),
            rng.uniform(0.2, 0.9) * 2 * height,
            rng.choice((-2, 2)),
            rng.integers(60, 200, 3),
        )
        for _ in range(12)
    ]
    pictures = []
    for index in range(count):
        large = ground.copy()
        draw = ImageDraw.Draw(large)
        for start, y, way, paint in cars:
            x = (start + way * step_px * index) % (2 * width)
            draw.rectangle([x, y, x + width / 6, y + width / 12], fill=tuple(int(v) for v in paint))
        pictures.append(np.asarray(large.resize((width, height), Pillow.Resampling.BOX)))
    return pictures


def psnr_db(before: list[Image], after: list[Image]) -> float:
    difference = np.asarray(before, np.float64) - np.asarray(after, np.float64)
    return float(10 * np.log10(255**2 / np.mean(difference**2)))
