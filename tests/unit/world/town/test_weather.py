"""Which weather a camera sees, with literal times."""

from __future__ import annotations

import pytest

from ecco_emu.scenario.sections.world import DistrictSection
from ecco_emu.world.town.looks import LOOKS, look_at
from ecco_emu.world.town.weather import Conditions, conditions_at, district_of


def district(
    name: str, center: tuple[float, float], radius: float, *changes: dict[str, str]
) -> DistrictSection:
    return DistrictSection.model_validate(
        {
            "name": name,
            "center": [f"{v}m" for v in center],
            "radius": f"{radius}m",
            "weather": list(changes) or [{"at": "0s", "is": "day"}],
        }
    )


HARBOUR = district(
    "harbour",
    (0, 0),
    50,
    {"at": "0s", "is": "day"},
    {"at": "20s", "is": "fog", "fade": "4s"},
    {"at": "40s", "is": "night", "fade": "0s"},
)


@pytest.mark.parametrize(
    ("t", "expected"),
    [
        (-1.0, Conditions("day", "day", 1.0)),
        (0.0, Conditions("day", "day", 1.0)),
        (19.99, Conditions("day", "day", 1.0)),
        (20.0, Conditions("fog", "day", 0.0)),
        (21.0, Conditions("fog", "day", 0.25)),
        (24.0, Conditions("fog", "fog", 1.0)),
        (40.0, Conditions("night", "night", 1.0)),
        (1e6, Conditions("night", "night", 1.0)),
    ],
)
def test_a_schedule(t: float, expected: Conditions) -> None:
    assert conditions_at(HARBOUR, t) == expected


def test_nearest_district_that_contains_the_camera_wins() -> None:
    small = district("small", (40, 0), 15)
    districts = (HARBOUR, small)
    assert district_of(districts, (0, 0)) is HARBOUR
    assert district_of(districts, (35, 0)) is small
    # nearer to the small one, but outside it
    assert district_of(districts, (24, 0)) is HARBOUR


def test_outside_every_district_the_nearest_counts() -> None:
    far = district("far", (500, 0), 10)
    assert district_of((HARBOUR, far), (450, 0)) is far
    assert district_of((HARBOUR, far), (100, 0)) is HARBOUR


def test_a_fade_is_between_its_ends() -> None:
    half = look_at(Conditions("fog", "day", 0.5))
    assert half.haze_per_m == pytest.approx(LOOKS["fog"].haze_per_m / 2)
    assert half.light[0] == pytest.approx((LOOKS["fog"].light[0] + LOOKS["day"].light[0]) / 2)
    assert look_at(Conditions("fog", "day", 0.0)) == LOOKS["day"]
    assert look_at(Conditions.steady("rain")) == LOOKS["rain"]
