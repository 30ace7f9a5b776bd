"""The rendering process: the calls of ``TownWorld`` run here. State lives in this module's globals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecco_emu.core.frames import Image
from ecco_emu.scenario.sections.world import TownSection
from ecco_emu.tasks.detection import Labels
from ecco_emu.world.town.views import Viewpoint
from ecco_emu.world.town.weather import Conditions

if TYPE_CHECKING:
    from ecco_emu.world.town.renderer import TownRenderer

Size = tuple[int, int]

_renderers: dict[Size, TownRenderer] = {}


def open_town(town: TownSection, seed: int, sizes: list[Size]) -> None:
    """Builds the town, once for every size of picture, in place of one that was built before."""
    # here, because the parent imports this module too and needs no Panda3D
    from ecco_emu.world.town.renderer import TownRenderer

    while _renderers:
        _renderers.popitem()[1].close()
    for size in sizes:
        _renderers[size] = TownRenderer(town, seed, size)


def shoot(
    size: Size, view: Viewpoint, t: float, conditions: Conditions, noise_key: int
) -> tuple[Image, Labels]:
    """One picture and its labels; see ``TownRenderer.render``."""
    return _renderers[size].render(view, t, conditions, noise_key)
