"""Labels from id pictures, without a renderer."""

from __future__ import annotations

import numpy as np
import pytest

from ecco_emu.world.town.boxes import distances, labels_of, visible_boxes, whole_areas
from ecco_emu.world.town.traffic import Movers, Poses
from ecco_emu.world.town.views import Viewpoint, project, rays

VIEW = Viewpoint(at=(0.0, 0.0), look_at=(0.0, 20.0), height_m=6.0, fov_deg=70.0)
SIZE = (320, 192)


def one_car(y: float) -> tuple[Movers, Poses]:
    one = np.ones(1)
    movers = Movers(
        kinds=np.zeros(1, np.int64),
        looks=np.zeros(1, np.int64),
        ring=np.full(1, -1),
        start_m=0 * one,
        speed_mps=0 * one,
        offset_m=0 * one,
        still=np.array([[0.0, y, 0.0]]),
    )
    return movers, Poses(0 * one, y * one, 0 * one)


def filled(x1: int, y1: int, x2: int, y2: int, number: int = 1) -> np.ndarray:
    ids = np.zeros((SIZE[1], SIZE[0]), np.int32)
    ids[y1:y2, x1:x2] = number
    return ids


def test_boxes_of_an_id_picture() -> None:
    ids = filled(10, 20, 30, 25)
    ids[50:60, 100:104] = 3
    ids[0, 0] = 9  # a building
    which, boxes, pixels = visible_boxes(ids, 3)
    assert which.tolist() == [0, 2]
    assert boxes.tolist() == [[10, 20, 30, 25], [100, 50, 104, 60]]
    assert pixels.tolist() == [100, 40]


def test_an_empty_picture_has_no_labels() -> None:
    labels = labels_of(np.zeros((192, 320), np.int32), VIEW, *one_car(20.0))
    assert len(labels) == 0
    assert labels.boxes.shape == (0, 4)


def test_a_sliver_is_no_object() -> None:
    assert len(labels_of(filled(100, 90, 103, 110), VIEW, *one_car(60.0))) == 0
    assert len(labels_of(filled(100, 90, 104, 98), VIEW, *one_car(60.0))) == 1


def test_what_is_mostly_hidden_is_not_labelled() -> None:
    movers, poses = one_car(15.0)
    area = whole_areas(VIEW, SIZE, movers, poses, np.array([0]))[0]
    assert area > 1000
    rows = int(0.15 * area / 40)
    assert len(labels_of(filled(140, 90, 180, 90 + rows), VIEW, movers, poses)) == 0
    rows = int(0.25 * area / 40) + 1
    assert len(labels_of(filled(140, 90, 180, 90 + rows), VIEW, movers, poses)) == 1


def test_what_fog_hides_is_not_labelled() -> None:
    movers, poses = one_car(60.0)
    ids = filled(100, 90, 130, 102)
    assert len(labels_of(ids, VIEW, movers, poses, haze_per_m=0.01)) == 1
    assert len(labels_of(ids, VIEW, movers, poses, haze_per_m=0.065)) == 0
    assert distances(VIEW, poses)[0] == pytest.approx((60**2 + 6**2) ** 0.5)


def test_projection_and_rays_agree() -> None:
    view = Viewpoint((3.0, -8.0), (20.0, 14.0), 7.5, 65.0)
    directions = rays(view, SIZE)
    for row, column in ((10, 20), (96, 160), (180, 300)):
        point = view.eye + 25.0 * directions[row, column].astype(float)
        pixels, depth = project(view, SIZE, point[None])
        assert pixels[0] == pytest.approx((column + 0.5, row + 0.5), abs=1e-2)
        assert depth[0] > 0


def test_what_is_behind_the_camera_has_no_depth() -> None:
    _, depth = project(VIEW, SIZE, np.array([[0.0, -10.0, 1.0]]))
    assert depth[0] < 0


def test_straight_down_is_a_view_too() -> None:
    axes = Viewpoint((5.0, 5.0), (5.0, 5.0), 30.0, 60.0).axes()
    assert np.isfinite(axes).all()
    assert axes[2][2] == pytest.approx(-1.0, abs=1e-3)
