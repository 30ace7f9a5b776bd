"""Colours that stay the same for a camera, a job and a weather through all of a report's pictures."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable

CAMERAS = (
    "#1f6fb4", "#e07b00", "#2a9147", "#c2334d", "#7d5bb5",
    "#8a5a44", "#d45fa5", "#6b7480", "#9a9a1c", "#1199ab",
)  # fmt: skip
JOBS = ("#35618f", "#c9703c", "#5b8f5a", "#a8517c", "#7a6fb0", "#b39a3e", "#4f9a9a", "#8c6a5d")
WEATHERS = {"day": "#f4cf5c", "night": "#39457a", "rain": "#5d9fd6", "fog": "#b4bac2"}
RUNS = ("#1f6fb4", "#e07b00", "#2a9147", "#c2334d", "#7d5bb5", "#8a5a44")

INK, MUTED, GRID, BAND = "#1d2733", "#66717e", "#e6e9ee", "#f5f7fa"
GOOD, LATE, BAD, PENDING = "#2a9d8f", "#e9b949", "#cf4057", "#c5cbd3"


def assign(names: Iterable[str], palette: tuple[str, ...]) -> dict[str, str]:
    """A colour for each name, in order of appearance. Past the palette's end, colours are computed."""
    return {name: palette[i] if i < len(palette) else _extra(i) for i, name in enumerate(names)}


def weather(name: str) -> str:
    return WEATHERS.get(name, "#9aa3ad")


def faint(colour: str, opacity: float) -> str:
    """``#rrggbb`` as an rgba() of this opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def _extra(index: int) -> str:
    """A hue for each number: steps of the golden ratio (mod 1) keep any count of them far apart."""
    red, green, blue = colorsys.hls_to_rgb(index * 0.618034 % 1.0, 0.45, 0.55)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
