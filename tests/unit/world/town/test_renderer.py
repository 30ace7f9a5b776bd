"""Rendered pictures: repeatable, labelled exactly, and different in every weather."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import numpy as np
import pytest

from ecco_emu.core.random_streams import stream
from ecco_emu.scenario.sections.world import TownSection, Weather
from ecco_emu.tasks.detection import CLASSES
from ecco_emu.world.town.boxes import visible_boxes
from ecco_emu.world.town.renderer import TownRenderer, render_scene
from ecco_emu.world.town.views import Viewpoint, project, random_view
from ecco_emu.world.town.weather import Conditions

SIZE = (320, 192)
DAY = Conditions.steady("day")
CROSSING = Viewpoint(at=(5.0, -30.0), look_at=(0.0, -4.0), height_m=8.0, fov_deg=70.0)


def make_town() -> TownSection:
    everywhere = {
        "name": "all",
        "center": ["0m", "0m"],
        "radius": "1km",
        "weather": [{"at": "0s", "is": "day"}],
    }
    return TownSection.model_validate({"size": "200m", "districts": [everywhere]})


@pytest.fixture(scope="module")
def renderer() -> Iterator[TownRenderer]:
    made = TownRenderer(make_town(), 5, SIZE)
    yield made
    made.close()


def test_same_time_same_picture_whatever_was_drawn_before(renderer: TownRenderer) -> None:
    image, labels = renderer.render(CROSSING, 12.5, Conditions.steady("night"), 3)
    renderer.render(Viewpoint((40.0, 62.0), (10.0, 60.0), 6.0, 80.0), 99.0, Conditions.steady("fog"), 8)
    again, labels_again = renderer.render(CROSSING, 12.5, Conditions.steady("night"), 3)
    assert np.array_equal(image, again)
    assert np.array_equal(labels.boxes, labels_again.boxes)
    other = TownRenderer(make_town(), 5, SIZE)
    try:
        assert np.array_equal(other.render(CROSSING, 12.5, Conditions.steady("night"), 3)[0], image)
    finally:
        other.close()


def test_noise_has_a_key_of_its_own(renderer: TownRenderer) -> None:
    one, _ = renderer.render(CROSSING, 1.0, DAY, 1)
    two, _ = renderer.render(CROSSING, 1.0, DAY, 2)
    difference = one.astype(float) - two
    assert 1.0 < difference.std() < 6.0


def test_shape_type_and_boxes_inside_the_picture(renderer: TownRenderer) -> None:
    random = stream(1, "test views")
    seen = []
    for _ in range(40):
        image, labels = render_scene(renderer, random)
        assert image.shape == (192, 320, 3)
        assert image.dtype == np.uint8
        assert labels.boxes.dtype == np.float32
        assert labels.classes.dtype == np.int64
        if len(labels):
            assert labels.boxes.min() >= 0
            assert (labels.boxes[:, 2] <= 320).all()
            assert (labels.boxes[:, 3] <= 192).all()
            assert (labels.boxes[:, 2:] > labels.boxes[:, :2]).all()
        seen.append(labels.classes)
    counts = [len(classes) for classes in seen]
    assert np.mean(counts) > 3
    assert set(np.concatenate(seen).tolist()) == set(range(len(CLASSES)))


def test_ids_are_the_movers_where_geometry_says_they_are(renderer: TownRenderer) -> None:
    movers = renderer.layout.movers
    random = stream(2, "test views")
    checked = 0
    for _ in range(15):
        view, t = random_view(renderer.layout, random), float(random.uniform(0, 100))
        poses = renderer.layout.poses(t)
        renderer.render(view, t, DAY)
        _, ids = renderer._stage.shoot(view, (0.5, 0.6, 0.7))
        which, boxes, pixels = visible_boxes(ids, len(movers))
        middles = np.column_stack([poses.x[which], poses.y[which], np.full(len(which), 0.8)])
        spots, depth = project(view, SIZE, middles)
        for spot, box, count, d in zip(spots, boxes, pixels, depth, strict=True):
            whole = box[0] > 3 and box[2] < 317 and box[1] > 3 and box[3] < 189
            if d > 5 and count > 60 and whole:
                reach = 0.8 * (box[2:] - box[:2]) + 2  # something may stand before a part of it
                assert (spot > box[:2] - reach).all()
                assert (spot < box[2:] + reach).all()
                checked += 1
    assert checked > 20


def test_labels_are_the_bounds_of_the_id_pass(renderer: TownRenderer) -> None:
    _, labels = renderer.render(CROSSING, 7.0, DAY)
    _, ids = renderer._stage.shoot(CROSSING, (0.5, 0.6, 0.7))
    which, boxes, _ = visible_boxes(ids, len(renderer.layout.movers))
    known = {tuple(box): renderer.layout.movers.kinds[index] for index, box in zip(which, boxes, strict=True)}
    assert len(labels) > 0
    for box, kind in zip(labels.boxes, labels.classes, strict=True):
        assert known[tuple(box)] == kind


def test_a_box_follows_its_car(renderer: TownRenderer) -> None:
    layout = renderer.layout
    car = int(np.flatnonzero((layout.movers.kinds == 0) & (layout.movers.ring >= 0))[0])
    spots = []
    for t in (10.0, 10.2, 10.4):
        poses = layout.poses(t)
        before = layout.poses(10.0)
        x, y = float(before.x[car]), float(before.y[car])
        above = Viewpoint((x, y - 0.5), (x, y), 16.0, 60.0)
        renderer.render(above, t, DAY)
        which, boxes, _ = visible_boxes(renderer._stage.shoot(above, (0.5, 0.6, 0.7))[1], len(layout.movers))
        box = boxes[which.tolist().index(car)]
        middle = np.array([[poses.x[car], poses.y[car], 0.8]])
        assert (box[:2] + box[2:]) / 2 == pytest.approx(project(above, SIZE, middle)[0][0], abs=8)
        spots.append((box[:2] + box[2:]) / 2)
    assert np.linalg.norm(spots[2] - spots[0]) > 10


def test_every_weather_looks_different(renderer: TownRenderer) -> None:
    pictures = {
        weather: renderer.render(CROSSING, 3.0, Conditions.steady(weather))[0].astype(float)
        for weather in get_args(Weather)
    }
    light = {weather: picture.mean() for weather, picture in pictures.items()}
    contrast = {weather: picture.std() for weather, picture in pictures.items()}
    assert light["night"] < 0.35 * light["day"]
    assert light["night"] < light["rain"] < light["day"] < light["fog"]
    assert contrast["fog"] < 0.8 * contrast["day"]
    assert contrast["rain"] < contrast["day"]


def test_a_fade_passes_through_the_middle(renderer: TownRenderer) -> None:
    light = [
        renderer.render(CROSSING, 3.0, Conditions("night", "day", blend))[0].mean()
        for blend in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert light == sorted(light, reverse=True)
    assert np.diff(light).max() < -5


def test_sizes_may_differ_within_a_process(renderer: TownRenderer) -> None:
    small = TownRenderer(make_town(), 5, (160, 96))
    try:
        image, labels = small.render(CROSSING, 7.0, DAY)
        assert image.shape == (96, 160, 3)
        _, full = renderer.render(CROSSING, 7.0, DAY)
        assert len(labels) <= len(full)
    finally:
        small.close()
