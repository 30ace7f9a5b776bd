"""Pictures of random towns, for pretraining and its evaluation. Runs in the process that renders."""

from __future__ import annotations

from ecco_emu.core.random_streams import stream
from ecco_emu.scenario.sections.world import DistrictSection, TownSection, Weather
from ecco_emu.trainer.backend import LabelledImage
from ecco_emu.world.town.renderer import TownRenderer, render_scene


def render_scenes(
    seed: int, town: int, count: int, weather: Weather, size: tuple[int, int]
) -> list[LabelledImage]:
    """``count`` labelled pictures of town number ``town``, from random views at random times.

    ``size`` is width and height in pixels. The same seed and town give the same views and times in any
    weather, so that accuracies under different weathers can be compared.
    """
    random = stream(seed, "pretraining scenes", town)
    # At least as many movers as a scenario has by default: every picture then has more to learn from.
    traffic = TownSection(
        seed=int(random.integers(2**31)),
        cars=int(random.integers(60, 160)),
        trucks=int(random.integers(16, 60)),
        pedestrians=int(random.integers(120, 320)),
        districts=(_everywhere(weather),),
    )
    renderer = TownRenderer(traffic, seed, size)
    try:
        return [render_scene(renderer, random, weather) for _ in range(count)]
    finally:
        renderer.close()


def _everywhere(weather: Weather) -> DistrictSection:
    return DistrictSection.model_validate(
        {
            "name": "everywhere",
            "center": ["0m", "0m"],
            "radius": "1km",
            "weather": [{"at": "0s", "is": weather}],
        }
    )
