"""Each weather's effect on light, in numbers; and the mix of two while one fades into the other."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ecco_emu.scenario.sections.world import Weather
from ecco_emu.world.town.weather import Conditions

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture in full light turns into the one that a camera takes. Colours are 0..1."""

    light: Rgb
    """The sky's light: colours are multiplied by it."""
    sky: Rgb
    """At the horizon."""
    zenith: Rgb
    """The sky straight above."""
    haze: Rgb
    """The colour that far objects fade to."""
    haze_per_m: float
    """Extinction: an object at ``d`` metres keeps exp(-haze_per_m d) of its colour."""
    lamps: float
    """How strongly street lamps, headlights and lit windows shine, 0..1."""
    rain: float
    """How dense the streaks are, 0..1."""
    saturation: float
    contrast: float
    """Around mid grey."""
    noise: float
    """Standard deviation of the sensor's noise, in levels of 255."""

    def mix(self, other: Look, share: float) -> Look:
        """``share`` of ``other`` and the rest of this."""
        if share <= 0:
            return self
        if share >= 1:
            return other
        mixed: dict[str, Any] = {}
        for field in fields(Look):
            a, b = np.asarray(getattr(self, field.name)), np.asarray(getattr(other, field.name))
            value = a * (1 - share) + b * share
            mixed[field.name] = tuple(value.tolist()) if value.ndim else float(value)
        return Look(**mixed)


LOOKS: dict[Weather, Look] = {
    "day": Look(
        light=(1.0, 0.99, 0.96),
        sky=(0.80, 0.88, 0.95),
        zenith=(0.42, 0.63, 0.90),
        haze=(0.80, 0.86, 0.92),
        haze_per_m=0.0,
        lamps=0.0,
        rain=0.0,
        saturation=1.0,
        contrast=1.0,
        noise=2.0,
    ),
    "night": Look(
        light=(0.125, 0.135, 0.20),
        sky=(0.055, 0.065, 0.12),
        zenith=(0.02, 0.025, 0.06),
        haze=(0.04, 0.05, 0.09),
        haze_per_m=0.0,
        lamps=1.0,
        rain=0.0,
        saturation=0.75,
        contrast=1.0,
        noise=4.5,
    ),
    "rain": Look(
        light=(0.54, 0.57, 0.62),
        sky=(0.47, 0.49, 0.53),
        zenith=(0.36, 0.38, 0.42),
        haze=(0.44, 0.46, 0.50),
        haze_per_m=0.014,
        lamps=0.0,
        rain=1.0,
        saturation=0.7,
        contrast=0.85,
        noise=4.0,
    ),
    "fog": Look(
        light=(0.86, 0.88, 0.90),
        sky=(0.79, 0.80, 0.82),
        zenith=(0.79, 0.80, 0.82),
        haze=(0.79, 0.80, 0.82),
        haze_per_m=0.065,
        lamps=0.0,
        rain=0.0,
        saturation=0.85,
        contrast=1.0,
        noise=2.0,
    ),
}


def haze_per_m(conditions: Conditions) -> float:
    """The extinction of these conditions (``Look.haze_per_m``)."""
    before, after = LOOKS[conditions.previous].haze_per_m, LOOKS[conditions.weather].haze_per_m
    return before + (after - before) * conditions.blend


def look_at(conditions: Conditions) -> Look:
    """The look of these conditions."""
    return LOOKS[conditions.previous].mix(LOOKS[conditions.weather], conditions.blend)
