"""The weather before a camera, from its position and the time. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ecco_emu.scenario.sections.world import DistrictSection, Weather


@dataclass(frozen=True, slots=True)
class Conditions:
    """A mix of two weathers: ``blend`` (0..1) of ``weather`` and the rest of ``previous``.

    ``blend`` is 1 once a change is complete.
    """

    weather: Weather
    previous: Weather
    blend: float = 1.0

    @staticmethod
    def steady(weather: Weather) -> Conditions:
        """One weather, into which nothing fades."""
        return Conditions(weather, weather, 1.0)


def district_of(districts: Sequence[DistrictSection], at: tuple[float, float]) -> DistrictSection:
    """The nearest district (by its centre) that contains the point, or else the nearest of all."""

    def distance(district: DistrictSection) -> float:
        return math.dist(district.center, at)

    containing = [district for district in districts if distance(district) <= district.radius]
    return min(containing or districts, key=distance)


def conditions_at(district: DistrictSection, t: float) -> Conditions:
    """A district's weather at emulated second ``t``. A change begins at its ``at`` and lasts its ``fade``."""
    past = [change for change in district.weather if change.at <= t] or list(district.weather[:1])
    newest = past[-1]
    if len(past) == 1:  # the weather a run begins with does not fade in
        return Conditions.steady(newest.is_)
    blend = 1.0 if newest.fade <= 0 else min(1.0, (t - newest.at) / newest.fade)
    if blend >= 1.0:
        return Conditions.steady(newest.is_)
    return Conditions(newest.is_, past[-2].is_, blend)
