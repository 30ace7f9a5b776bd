"""Cameras that never see an object, told from the town's geometry; the renderer agrees."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ecco_emu.emulation import checking
from ecco_emu.scenario import loading
from ecco_emu.scenario.schema import Scenario
from ecco_emu.world.town.layout import Building, lay_out
from ecco_emu.world.town.renderer import TownRenderer
from ecco_emu.world.town.sight_lines import hidden_by_buildings
from ecco_emu.world.town.sightings import blind_cameras
from ecco_emu.world.town.views import view_of
from ecco_emu.world.town.weather import Conditions

EYE = np.array([0.0, 0.0, 8.0])


def scenario(*cameras: dict[str, object], **town: object) -> Scenario:
    district = {
        "name": "all",
        "center": ["0m", "0m"],
        "radius": "100m",
        "weather": [{"at": "0s", "is": "day"}],
    }
    return loading.from_mapping(
        {
            "version": 1,
            "name": "x",
            "windows": {"count": 1, "length": "20s"},
            "world": {"town": {"districts": [district], **town}},
            "cameras": [{"id": f"cam{number}", **camera} for number, camera in enumerate(cameras)],
        },
        files=False,
    )


STREET = {"at": ["0m", "-24m"], "source": {"look_at": ["0m", "-2m"]}}
AWAY = {"at": ["149m", "149m"], "source": {"look_at": ["170m", "170m"]}}


def test_a_camera_sees_a_street_and_nothing_outside_the_town() -> None:
    assert blind_cameras(scenario(STREET, AWAY)) == [1]


def test_without_traffic_nobody_sees_anything() -> None:
    assert blind_cameras(scenario(STREET, cars=0, trucks=0, pedestrians=0)) == [0]


def test_objects_too_small_for_a_label_do_not_count() -> None:
    far = {"at": ["0m", "-24m"], "source": {"look_at": ["0m", "-2m"], "height": "100m", "size": [64, 64]}}
    assert blind_cameras(scenario(far, cars=0, trucks=0)) == [0]


@pytest.mark.parametrize(
    ("building", "hides"),
    [
        (((5.0, -5.0), (10.0, 5.0), 9.0), True),
        (((5.0, -5.0), (10.0, 5.0), 3.0), False),  # the line of sight passes over it
        (((25.0, -5.0), (30.0, 5.0), 9.0), False),  # behind the point
        (((-10.0, -5.0), (-5.0, 5.0), 9.0), False),  # behind the eye
        (((5.0, 5.0), (10.0, 9.0), 9.0), False),  # beside
        (((-5.0, -5.0), (5.0, 5.0), 9.0), False),  # around the eye
        (((0.3, -5.0), (5.0, 5.0), 9.0), False),  # nearer than anything is drawn
    ],
)
def test_what_a_house_hides(
    building: tuple[tuple[float, float], tuple[float, float], float], hides: bool
) -> None:
    low, high, height = building
    house = Building(low, high, height, 0, False)
    assert hidden_by_buildings(EYE, np.array([[20.0, 0.0, 0.8]]), [house]).tolist() == [hides]


def test_the_renderer_agrees() -> None:
    """A camera without a sighting has no label in any picture. The reverse need not hold."""
    rng = np.random.default_rng(5)
    spots, ways = rng.uniform(-140, 140, (60, 2)), rng.uniform(0, 2 * math.pi, 60)
    cameras = [
        {
            "at": [f"{x:.2f}m", f"{y:.2f}m"],
            "source": {"look_at": [f"{x + 12 * math.cos(way):.2f}m", f"{y + 12 * math.sin(way):.2f}m"]},
        }
        for (x, y), way in zip(spots, ways, strict=True)
    ]
    whole = scenario(*cameras)
    blind = blind_cameras(whole)
    assert 3 < len(blind) < 30
    assert lay_out(whole.world.town, whole.seed).movers
    renderer = TownRenderer(whole.world.town, whole.seed, (320, 192))
    try:
        for index in blind:
            for t in (0.0, 7.0, 14.0):
                _, labels = renderer.render(view_of(whole.cameras[index]), t, Conditions.steady("day"), 1)
                assert len(labels) == 0, index
    finally:
        renderer.close()


def test_check_warns_of_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "x.yaml"
    path.write_text("""\
version: 1
name: x
clock: {dilation: 1}
world: {town: {districts: [{name: d, center: [0m, 0m], radius: 80m, weather: [{at: 0s, is: day}]}]}}
cameras:
  - {id: cam1, at: [0m, -24m], source: {look_at: [0m, -2m]}}
  - {id: cam2, at: [149m, 149m], source: {look_at: [170m, 170m]}}
""")
    (warning,) = checking.examine([path])
    assert str(warning).startswith(
        f"{path}:7:52: cameras[1].source.look_at: no car, truck or pedestrian is ever"
    )
    assert warning.severity == "warning"
