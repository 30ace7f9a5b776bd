"""Frames of still cameras in a town. Runs in the process that renders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecco_emu.core.random_streams import stream
from ecco_emu.scenario.sections.world import DistrictSection, TownSection, Weather
from ecco_emu.trainer.backend import LabelledImage
from ecco_emu.world.town.renderer import TownRenderer
from ecco_emu.world.town.views import Viewpoint, random_view
from ecco_emu.world.town.weather import Conditions

SIZE = (320, 192)
_LEAST_OBJECTS = 2.0
"""Mean number of objects in a chosen view: a camera that looks at nothing tells nothing."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A camera's frame: emulated second and weather."""

    t: float
    weather: Weather


def shoot(town: int, view: Viewpoint | None, shots: Sequence[Shot]) -> list[LabelledImage]:
    """The frames of one camera in town number ``town``; without a ``view``, of a random one of that town."""
    random = stream(town, "bench control")
    renderer = TownRenderer(_town(town), town, SIZE)
    try:
        start = float(random.uniform(0, 600))
        chosen = view or _busy_view(renderer, random, start)
        return [
            renderer.render(chosen, start + shot.t, Conditions.steady(shot.weather), round(shot.t * 100))
            for shot in shots
        ]
    finally:
        renderer.close()


def _busy_view(renderer: TownRenderer, random: np.random.Generator, start: float) -> Viewpoint:
    while True:
        view = random_view(renderer.layout, random)
        day = Conditions.steady("day")
        counts = [len(renderer.render(view, start + 4.0 * i, day)[1]) for i in range(10)]
        if np.mean(counts) >= _LEAST_OBJECTS:
            return view


def _town(seed: int) -> TownSection:
    everywhere = DistrictSection.model_validate(
        {
            "name": "everywhere",
            "center": ["0m", "0m"],
            "radius": "1km",
            "weather": [{"at": "0s", "is": "day"}],
        }
    )
    return TownSection(seed=seed, cars=90, trucks=30, pedestrians=200, districts=(everywhere,))
