"""A town's pictures and their labels: layout, stage, weather and sensor put together."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from ecco_emu.core.frames import Image
from ecco_emu.scenario.sections.world import TownSection, Weather
from ecco_emu.tasks.detection import Labels
from ecco_emu.world.town.atmosphere import Atmosphere
from ecco_emu.world.town.backdrop import Backdrop
from ecco_emu.world.town.boxes import labels_of
from ecco_emu.world.town.layout import Layout, lay_out
from ecco_emu.world.town.looks import look_at
from ecco_emu.world.town.stage import Stage
from ecco_emu.world.town.views import Viewpoint, random_view
from ecco_emu.world.town.weather import Conditions

_BACKDROPS_BYTES = 256 * 1024 * 1024
_BACKDROP_BYTES_PER_PX = 32
"""About the size of a backdrop with everything computed: rays, distance, lamplight, numbers, masks."""


class TownRenderer:
    """Takes pictures of a town. Synchronous; a process may hold several, used by one thread at a time.

    ``size`` is width and height in pixels. A picture is a function of town, seed, view, t, conditions and
    noise key alone: the order of calls does not matter.
    """

    def __init__(self, town: TownSection, seed: int, size: tuple[int, int]) -> None:
        self.layout: Layout = lay_out(town, seed)
        self._stage = Stage(self.layout, size)
        self._atmosphere = Atmosphere(self.layout, size, seed)
        self._backdrops: OrderedDict[Viewpoint, Backdrop] = OrderedDict()
        self._kept = max(4, _BACKDROPS_BYTES // (_BACKDROP_BYTES_PER_PX * size[0] * size[1]))

    def render(
        self, view: Viewpoint, t: float, conditions: Conditions, noise_key: int = 0
    ) -> tuple[Image, Labels]:
        """The picture (H, W, 3) at emulated second ``t``, and its labels.

        ``noise_key`` chooses the sensor's noise and the places of the raindrops.
        """
        look = look_at(conditions)
        backdrop = self._backdrop(view)
        poses = self.layout.poses(t)
        self._stage.place(poses, t)
        # the atmosphere multiplies the whole picture by the light, so the sky is brightened by as much before
        sky = tuple(min(1.0, s / max(light, 1e-3)) for s, light in zip(look.sky, look.light, strict=True))
        picture, ids = self._stage.shoot(view, (sky[0], sky[1], sky[2]))
        image = self._atmosphere.apply(picture, ids, backdrop, view, poses, look, noise_key)
        return image, labels_of(ids, view, self.layout.movers, poses, look.haze_per_m)

    def close(self) -> None:
        """Frees the renderer's buffers."""
        self._backdrops.clear()
        self._stage.close()

    def _backdrop(self, view: Viewpoint) -> Backdrop:
        known = self._backdrops.get(view)
        if known is not None:
            self._backdrops.move_to_end(view)
            return known
        numbers, lit = self._stage.shoot_solids(view)
        solids = self._stage.solids
        backdrop = Backdrop(self.layout, view, numbers, lit, solids.first, solids.boxes, solids.first_lamp)
        self._backdrops[view] = backdrop
        if len(self._backdrops) > self._kept:
            self._backdrops.popitem(last=False)
        return backdrop


def render_scene(
    renderer: TownRenderer, rng: np.random.Generator, weather: Weather = "day"
) -> tuple[Image, Labels]:
    """A picture from a random view of the renderer's town at a random time, in steady weather."""
    view = random_view(renderer.layout, rng)
    t = float(rng.uniform(0, 3600))
    return renderer.render(view, t, Conditions.steady(weather), int(rng.integers(0, 2**31)))
