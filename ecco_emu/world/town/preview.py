"""Pictures for a person who writes a scenario: the views of all cameras, and a map of the town."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence

from PIL import Image as Pictures
from PIL import ImageDraw

from ecco_emu.core.frames import Image
from ecco_emu.scenario import schema
from ecco_emu.scenario.sections.cameras import CameraSection
from ecco_emu.scenario.sections.world import DistrictSection
from ecco_emu.tasks.detection import Labels
from ecco_emu.world.town.layout import Layout, lay_out
from ecco_emu.world.town.renderer import TownRenderer
from ecco_emu.world.town.streets import CORRIDOR_HALF_M, KINDS, PEDESTRIAN, ROAD_HALF_M
from ecco_emu.world.town.views import Viewpoint, view_of
from ecco_emu.world.town.weather import conditions_at, district_of
from ecco_emu.world.town.world import noise_key

BOX_COLORS = {"car": "#ff4136", "truck": "#ffb000", "pedestrian": "#2ecc40"}
_PANEL_PX = 320
_CAPTION_PX = 18
_MAP_PX = 900
_VIEW_M = 45.0
"""How far a view cone reaches on the map."""


def contact_sheet(scenario: schema.Scenario, times: Sequence[float]) -> bytes:
    """A PNG with a row per camera and a column per time (emulated seconds), labels drawn in.

    Renders in this process, some 20 ms a picture.
    """
    sizes = {camera.source.size for camera in scenario.cameras}
    with contextlib.ExitStack() as stack:
        renderers = {}
        for size in sizes:
            renderers[size] = TownRenderer(scenario.world.town, scenario.seed, size)
            stack.callback(renderers[size].close)
        rows = [_row(camera, times, scenario, renderers[camera.source.size]) for camera in scenario.cameras]
    width = _PANEL_PX * max(1, len(times))
    sheet = Pictures.new("RGB", (width, sum(row.height for row in rows)), "#202020")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return _png(sheet)


def _row(
    camera: CameraSection, times: Sequence[float], scenario: schema.Scenario, renderer: TownRenderer
) -> Pictures.Image:
    source = camera.source
    district = district_of(scenario.world.town.districts, camera.at)
    height = round(_PANEL_PX * source.size[1] / source.size[0])
    row = Pictures.new("RGB", (_PANEL_PX * max(1, len(times)), height + _CAPTION_PX), "#202020")
    draw = ImageDraw.Draw(row)
    for column, t in enumerate(times):
        conditions = conditions_at(district, t)
        key = noise_key(scenario.seed, camera.id, round(t * source.fps))
        image, labels = renderer.render(view_of(camera), t, conditions, key)
        left = column * _PANEL_PX
        row.paste(labelled(image, labels).resize((_PANEL_PX, height)), (left, _CAPTION_PX))
        weather: str = conditions.weather
        if conditions.blend < 1:
            weather = f"{conditions.previous} to {weather}"
        caption = f"{camera.id}  {t:g} s  {district.name}: {weather}  {len(labels)} objects"
        draw.text((left + 4, 3), caption, fill="white")
    return row


def labelled(image: Image, labels: Labels) -> Pictures.Image:
    """The picture with a box around every object, in its class's colour."""
    picture = Pictures.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for (x1, y1, x2, y2), name in zip(labels.boxes.tolist(), labels.names(), strict=True):
        draw.rectangle((x1, y1, x2 - 1, y2 - 1), outline=BOX_COLORS[name])
    return picture


def map_picture(scenario: schema.Scenario) -> bytes:
    """A PNG of the town from above, north up: districts, roads, houses, traffic at 0 s, cameras' views."""
    town = scenario.world.town
    reach = max(town.size / 2, *(max(abs(v) for v in camera.at) + 10 for camera in scenario.cameras))
    chart = _Map(reach + 5)
    layout = lay_out(town, scenario.seed)
    _draw_town(chart, layout)
    for district in town.districts:
        _draw_district(chart, district)
    for camera in scenario.cameras:
        _draw_camera(chart, camera.id, view_of(camera))
    return _png(chart.picture)


class _Map:
    """A drawing in metres, north up."""

    def __init__(self, reach_m: float) -> None:
        self.picture = Pictures.new("RGB", (_MAP_PX, _MAP_PX), "#c9d8b6")
        self.draw = ImageDraw.Draw(self.picture, "RGBA")
        self._scale = _MAP_PX / (2 * reach_m)

    def spot(self, x: float, y: float) -> tuple[float, float]:
        return _MAP_PX / 2 + x * self._scale, _MAP_PX / 2 - y * self._scale

    def length(self, metres: float) -> float:
        return metres * self._scale

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: str) -> None:
        self.draw.rectangle((*self.spot(x0, y1), *self.spot(x1, y0)), fill=fill)


def _draw_town(chart: _Map, layout: Layout) -> None:
    low, high = layout.roads_y[0], layout.roads_y[-1]
    for half, fill in ((CORRIDOR_HALF_M, "#b9b4aa"), (ROAD_HALF_M, "#6e6e72")):
        for road in layout.roads_x:
            chart.box(road - half, low - half, road + half, high + half, fill)
            chart.box(low - half, road - half, high + half, road + half, fill)
    for building in layout.buildings:
        chart.box(*building.low, *building.high, "#a08770")
    for tree in layout.trees:
        x, y = tree.at
        chart.draw.ellipse((*chart.spot(x - 1.3, y + 1.3), *chart.spot(x + 1.3, y - 1.3)), fill="#5c8a45")
    poses, movers = layout.poses(0.0), layout.movers
    for x, y, kind in zip(poses.x.tolist(), poses.y.tolist(), movers.kinds.tolist(), strict=True):
        color = BOX_COLORS[KINDS[kind]]
        r = 1.6 if kind < PEDESTRIAN else 0.9
        chart.draw.ellipse((*chart.spot(x - r, y + r), *chart.spot(x + r, y - r)), fill=color)
    for road in layout.roads_x:
        chart.draw.text((chart.spot(road, 0)[0] + 3, _MAP_PX - 14), f"{road:g} m", fill="#303030")
        chart.draw.text((3, chart.spot(0, road)[1] - 12), f"{road:g} m", fill="#303030")


def _draw_district(chart: _Map, district: DistrictSection) -> None:
    x, y = district.center
    r = district.radius
    chart.draw.ellipse(
        (*chart.spot(x - r, y + r), *chart.spot(x + r, y - r)),
        fill=(60, 90, 200, 26),
        outline=(40, 60, 180, 255),
    )
    story = ", ".join(f"{change.is_} at {change.at:g} s" for change in district.weather)
    chart.draw.text(chart.spot(x - r * 0.6, y + r * 0.72), f"{district.name}: {story}", fill="#1a2a80")


def _draw_camera(chart: _Map, name: str, view: Viewpoint) -> None:
    x, y = view.at
    middle = math.atan2(view.look_at[1] - y, view.look_at[0] - x)
    half = math.radians(view.fov_deg) / 2
    corners = [chart.spot(x, y)]
    for step in range(13):
        angle = middle - half + 2 * half * step / 12
        corners.append(chart.spot(x + _VIEW_M * math.cos(angle), y + _VIEW_M * math.sin(angle)))
    chart.draw.polygon(corners, fill=(255, 120, 0, 60), outline=(220, 90, 0, 255))
    px, py = chart.spot(x, y)
    chart.draw.ellipse((px - 4, py - 4, px + 4, py + 4), fill="#d04000", outline="white")
    chart.draw.text((px + 6, py - 14), name, fill="#701800")


def _png(picture: Pictures.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()
