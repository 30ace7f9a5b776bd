"""The town without pictures: the same conditions and places, frames that bear their numbers, labels."""

from __future__ import annotations

import numpy as np
import pytest

from ecco_emu.core.ids import CameraId
from ecco_emu.tasks.detection import Labels
from ecco_emu.world.sketch.picture import Stamp, sketch, stamp_of
from ecco_emu.world.sketch.world import SketchWorld
from ecco_emu.world.town.world import TownWorld
from tests.unit.world.sketch.town import scenario

CAM1, CAM2 = CameraId("cam1"), CameraId("cam2")
WORLD = SketchWorld(scenario())


def same(one: Labels, other: Labels) -> bool:
    return np.array_equal(one.boxes, other.boxes) and np.array_equal(one.classes, other.classes)


def test_conditions_and_places_are_the_rendered_towns() -> None:
    rendered = TownWorld(scenario())  # never started: it renders nothing
    for camera in (CAM1, CAM2):
        assert WORLD.condition_changes(camera) == rendered.condition_changes(camera)
        for t in (0.0, 9.9, 10.0, 10.5, 11.0, 40.0):
            assert WORLD.condition(camera, t) == rendered.condition(camera, t)
            assert WORLD.settled(camera, t) == rendered.settled(camera, t)
            assert WORLD.position(camera, t) == rendered.position(camera, t)


async def test_a_frame_says_which_it_is() -> None:
    frame = await WORLD.frame(CAM2, 41)
    assert (frame.camera, frame.index, frame.t, frame.image.shape) == (CAM2, 41, 8.2, (96, 160, 3))
    assert stamp_of(frame.image) == Stamp(1, 41)
    view = WORLD.view(frame.image)
    assert (view.camera, view.index, view.t, view.conditions) == (CAM2, 41, 8.2, {"night": 1.0})
    assert same(view.labels, WORLD.labels(CAM2, 41))


def test_labels_are_a_function_of_camera_and_index() -> None:
    """Whoever asks, in whatever order, also in another process of the same seed."""
    forwards = [WORLD.labels(CAM1, index) for index in range(40)]
    other = SketchWorld(scenario())
    backwards = [other.labels(CAM1, index) for index in reversed(range(40))][::-1]
    assert all(map(same, forwards, backwards))
    assert sum(map(len, forwards)) > 40
    reseeded = SketchWorld(scenario(seed=4))
    assert not all(same(reseeded.labels(CAM1, index), each) for index, each in enumerate(forwards))


def test_labels_are_scaled_to_the_pictures_size() -> None:
    view = WORLD.view(sketch((160, 48), Stamp(0, 7)))  # cam1's frames are 320x192
    assert same(view.labels, WORLD.labels(CAM1, 7).scaled(0.5, 0.25))


def test_a_condition_that_fades_in_has_its_part() -> None:
    """Fog begins at 10 s and takes a second; cam1 has ten frames a second."""
    parts = [WORLD.view(sketch((320, 192), Stamp(0, index))).conditions for index in (99, 100, 103, 110)]
    assert parts == [
        {"day": 1.0},
        {"fog": 0.0, "day": 1.0},
        {"fog": pytest.approx(0.3), "day": pytest.approx(0.7)},
        {"fog": 1.0},
    ]


async def test_what_is_unknown_is_refused() -> None:
    stranger = CameraId("nobody")
    for ask in (lambda: WORLD.labels(stranger, 0), lambda: WORLD.condition(stranger, 0.0)):
        with pytest.raises(KeyError):
            ask()
    with pytest.raises(KeyError):
        await WORLD.frame(stranger, 0)
    with pytest.raises(ValueError, match="camera number 2, of 2"):
        WORLD.view(sketch((32, 32), Stamp(2, 0)))
    with pytest.raises(ValueError, match="no sketch"):
        WORLD.view(np.zeros((32, 32, 3), np.uint8))


async def test_starting_finds_out_what_each_camera_sees() -> None:
    world = SketchWorld(scenario())
    await world.start()
    assert set(world._outlooks) == {CAM1, CAM2}
    await world.close()


@pytest.mark.parametrize("size", [(4, 1), (16, 16), (1920, 1080)])
def test_a_sketch_bears_its_stamp_in_any_size(size: tuple[int, int]) -> None:
    image = sketch(size, Stamp(65_535, 2**32 - 1))
    assert image.shape == (size[1], size[0], 3)
    assert stamp_of(image) == Stamp(65_535, 2**32 - 1)
    assert stamp_of(np.ascontiguousarray(image)) == Stamp(65_535, 2**32 - 1)


def test_only_sketches_have_a_stamp() -> None:
    for image in (np.zeros((0, 4, 3), np.uint8), np.zeros((4, 1, 3), np.uint8)):
        with pytest.raises(ValueError, match="no sketch"):
            stamp_of(image)
