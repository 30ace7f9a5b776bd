"""The town as numbers: who may be where, at any time, in any town."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecco_emu.scenario.sections.world import TownSection
from ecco_emu.world.town.arrays import F64
from ecco_emu.world.town.layout import Layout, lay_out
from ecco_emu.world.town.streets import CORRIDOR_HALF_M, ROAD_HALF_M, road_lines
from ecco_emu.world.town.traffic import Ring, along_rings

DAY = [{"at": "0s", "is": "day"}]
EVERYWHERE = {"name": "all", "center": ["0m", "0m"], "radius": "1km", "weather": DAY}


def town(**fields: object) -> TownSection:
    return TownSection.model_validate({"districts": [EVERYWHERE], **fields})


towns = st.builds(
    lambda seed, size, cars, trucks, people: town(
        seed=seed, size=f"{size}m", cars=cars, trucks=trucks, pedestrians=people
    ),
    st.integers(0, 1000),
    st.integers(60, 500),
    st.integers(0, 80),
    st.integers(0, 30),
    st.integers(0, 150),
)
times = st.floats(0, 7200, allow_nan=False)


def on_road(layout: Layout, x: float, y: float, slack_m: float = 0.0) -> bool:
    """Whether a point is on asphalt."""
    reach = ROAD_HALF_M + slack_m
    inside_x = layout.roads_x[0] - reach <= x <= layout.roads_x[-1] + reach
    inside_y = layout.roads_y[0] - reach <= y <= layout.roads_y[-1] + reach
    near_x = any(abs(x - road) <= reach for road in layout.roads_x)
    near_y = any(abs(y - road) <= reach for road in layout.roads_y)
    return (near_x and inside_y) or (near_y and inside_x)


def along(ring: Ring, s: F64) -> tuple[F64, F64, F64]:
    return along_rings(np.broadcast_to(ring.numbers(), (len(s), 6)), s)


@settings(max_examples=40, deadline=None)
@given(towns, st.integers(0, 9), times)
def test_driving_vehicles_are_on_asphalt_and_pedestrians_beside_it(
    config: TownSection, seed: int, t: float
) -> None:
    layout = lay_out(config, seed)
    poses, movers = layout.poses(t), layout.movers
    for x, y, kind, ring in zip(poses.x, poses.y, movers.kinds, movers.ring, strict=True):
        if ring < 0:
            assert kind == 0
            assert on_road(layout, x, y, slack_m=0.6)
        elif kind == 2:
            assert not on_road(layout, x, y)
            assert on_road(layout, x, y, slack_m=CORRIDOR_HALF_M - ROAD_HALF_M)
        else:
            assert on_road(layout, x, y)


@settings(max_examples=40, deadline=None)
@given(towns, st.integers(0, 9))
def test_nothing_is_built_on_a_road_or_a_pavement(config: TownSection, seed: int) -> None:
    layout = lay_out(config, seed)
    low, high = layout.roads_x[0] - CORRIDOR_HALF_M, layout.roads_x[-1] + CORRIDOR_HALF_M
    for building in layout.buildings:
        (x0, y0), (x1, y1) = building.low, building.high
        assert x0 < x1
        assert y0 < y1
        for road in layout.roads_x:
            beside = x1 <= road - CORRIDOR_HALF_M or x0 >= road + CORRIDOR_HALF_M
            assert beside or y1 <= low or y0 >= high
            above = y1 <= road - CORRIDOR_HALF_M or y0 >= road + CORRIDOR_HALF_M
            assert above or x1 <= low or x0 >= high
    for tree in layout.trees:
        assert not on_road(layout, *tree.at, slack_m=CORRIDOR_HALF_M - ROAD_HALF_M)


@settings(max_examples=25, deadline=None)
@given(towns, st.integers(0, 9), times)
def test_vehicles_of_a_default_density_never_overlap(config: TownSection, seed: int, t: float) -> None:
    # 80 vehicles at most here, and at least 2.4 km of lanes in towns of 200 m
    layout = lay_out(config.model_copy(update={"size": max(config.size, 200.0)}), seed)
    poses, movers = layout.poses(t), layout.movers
    driving = np.flatnonzero((movers.kinds < 2) & (movers.ring >= 0))
    x, y = poses.x[driving], poses.y[driving]
    apart = np.hypot(x[:, None] - x, y[:, None] - y)
    np.fill_diagonal(apart, math.inf)
    same_ring = movers.ring[driving][:, None] == movers.ring[driving]
    assert apart[same_ring].min(initial=math.inf) > 4.4


def test_counts_are_what_the_scenario_says() -> None:
    kinds = lay_out(town(cars=60, trucks=16, pedestrians=120), 1).movers.kinds
    assert np.bincount(kinds, minlength=3).tolist() == [60, 16, 120]


def test_an_empty_town_has_no_movers() -> None:
    layout = lay_out(town(cars=0, trucks=0, pedestrians=0), 1)
    assert len(layout.movers) == 0
    assert len(layout.poses(5.0).x) == 0


def test_same_seed_same_town_and_another_seed_another() -> None:
    assert lay_out(town(), 3).buildings == lay_out(town(), 3).buildings
    assert lay_out(town(), 3).buildings != lay_out(town(), 4).buildings
    assert lay_out(town(seed=1), 3).buildings != lay_out(town(seed=2), 3).buildings


@pytest.mark.parametrize(
    ("size", "lines"),
    [
        (60.0, (-18.0, 0.0, 18.0)),
        (300.0, (-120.0, -60.0, 0.0, 60.0, 120.0)),
        (160.0, (-60.0, 0.0, 60.0)),
    ],
)
def test_roads_do_not_depend_on_the_seed(size: float, lines: tuple[float, ...]) -> None:
    assert road_lines(size) == lines


@pytest.mark.parametrize("turn", [-1, 1])
def test_a_ring_is_smooth_closed_and_walked_at_even_speed(turn: int) -> None:
    ring = Ring((3.0, 4.0), (20.0, 10.0), 4.0, 1 if turn > 0 else -1)
    s = np.linspace(0, ring.length_m, 2001)
    x, y, heading = along(ring, s)
    steps = np.hypot(np.diff(x), np.diff(y))
    assert steps == pytest.approx(ring.length_m / 2000, rel=1e-3)
    assert (x[0], y[0]) == pytest.approx((x[-1], y[-1]))
    walked = np.arctan2(np.diff(y), np.diff(x))
    assert np.cos(walked - heading[:-1]).min() > 0.9999
    assert (x.min(), x.max(), y.min(), y.max()) == pytest.approx((-17.0, 23.0, -6.0, 14.0))


def test_traffic_keeps_right() -> None:
    # the ring of the block north-east of the origin drives north along its western side, at x = 2,
    # which has the road's centre on its left
    layout = lay_out(town(), 1)
    ring = next(r for r in layout.rings if r.center == (30.0, 30.0) and r.corner_m == 4.0)
    x, y, heading = along(ring, np.linspace(0, ring.length_m, 400))
    beside = np.isclose(x, 2.0) & (y > 10) & (y < 50)
    assert beside.any()
    assert np.allclose(np.sin(heading[beside]), 1.0)
