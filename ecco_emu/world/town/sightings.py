"""Which cameras ever see an object, from the town's geometry alone: nothing is rendered. Pure."""

from __future__ import annotations

import math

import numpy as np

from ecco_emu.scenario.schema import Scenario
from ecco_emu.world.town.boxes import large_enough, whole_boxes
from ecco_emu.world.town.layout import Layout, lay_out
from ecco_emu.world.town.sight_lines import hidden_by_buildings
from ecco_emu.world.town.streets import KINDS, SIZES
from ecco_emu.world.town.traffic import Poses
from ecco_emu.world.town.views import Viewpoint, view_of

_STEP_S = 2.0
_MOST_TIMES = 40
"""Times at which the town is looked at, over the whole run: cars pass a view within some seconds."""
_EXTENTS = np.array([SIZES[kind] for kind in KINDS])


def blind_cameras(scenario: Scenario) -> list[int]:
    """The indices of cameras that see no object at any time of the run: none is in the picture, large enough
    for a label and not behind a house. Weather is left out of account."""
    layout = lay_out(scenario.world.town, scenario.seed)
    duration_s = scenario.windows.duration_s
    count = min(_MOST_TIMES, max(2, math.ceil(duration_s / _STEP_S)))
    # as they are needed: nearly every camera sees something at the first time
    times = np.linspace(0.0, duration_s, count)
    town: list[Poses] = []
    blind = []
    for index, camera in enumerate(scenario.cameras):
        view = view_of(camera)
        for number, t in enumerate(times):
            if number == len(town):
                town.append(layout.poses(float(t)))
            if _sees(layout, view, camera.source.size, town[number]):
                break
        else:
            blind.append(index)
    return blind


def _sees(layout: Layout, view: Viewpoint, size: tuple[int, int], poses: Poses) -> bool:
    movers = layout.movers
    if not len(movers):
        return False
    boxes, ahead = whole_boxes(view, size, movers.kinds, poses)
    found = np.flatnonzero(ahead & large_enough(boxes))
    sides_m = _EXTENTS[movers.kinds[found]]
    middles = np.stack([poses.x[found], poses.y[found], sides_m[:, 2] / 2], axis=-1)
    along = (
        np.stack([np.cos(poses.heading[found]), np.sin(poses.heading[found])], axis=-1) * sides_m[:, :1] / 2
    )
    ends = np.pad(along, ((0, 0), (0, 1)))
    # one end that looks out from behind a house is enough
    points = np.concatenate([middles, middles + ends, middles - ends])
    return not hidden_by_buildings(view.eye, points, layout.buildings).all()
