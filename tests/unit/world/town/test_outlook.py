"""Labels from the town's geometry alone, beside those of rendered pictures."""

from __future__ import annotations

import numpy as np
import pytest

from ecco_emu.scenario.sections.world import TownSection
from ecco_emu.tasks.detection import CLASSES, Labels
from ecco_emu.world.town.layout import Layout, Tree, lay_out
from ecco_emu.world.town.looks import haze_per_m, look_at
from ecco_emu.world.town.outlook import Outlook, _not_covered, outlook, tracks_of
from ecco_emu.world.town.renderer import TownRenderer
from ecco_emu.world.town.sight_lines import hidden_by_trees
from ecco_emu.world.town.views import Viewpoint
from ecco_emu.world.town.weather import Conditions

SIZE = (320, 192)
EVERYWHERE = {
    "name": "all",
    "center": ["0m", "0m"],
    "radius": "1km",
    "weather": [{"at": "0s", "is": "day"}],
}
TOWN = TownSection.model_validate(
    {"size": "300m", "cars": 90, "trucks": 30, "pedestrians": 200, "districts": [EVERYWHERE]}
)
LAYOUT = lay_out(TOWN, 5)
VIEWS = [
    Viewpoint((-64.0, -84.0), (-60.0, -60.0), 8.0, 70.0),
    Viewpoint((24.0, 56.0), (0.0, 60.0), 8.0, 70.0),
    Viewpoint((84.0, -64.0), (60.0, -60.0), 8.0, 70.0),
]


def test_as_many_objects_as_in_rendered_pictures() -> None:
    """Of a few dozen pictures, the mean number of each class and the spread of the sum."""
    renderer = TownRenderer(TOWN, 5, SIZE)
    rendered, computed = [], []
    try:
        for view in VIEWS:
            seen = look(view, SIZE)
            for t in np.arange(0.0, 72.0, 6.1):
                _, labels = renderer.render(view, float(t), Conditions.steady("day"), 1)
                rendered.append(counts(labels))
                computed.append(counts(seen.labels(float(t))))
    finally:
        renderer.close()
    real, ours = np.array(rendered), np.array(computed)
    assert ours.mean(axis=0) == pytest.approx(real.mean(axis=0), rel=0.2)
    assert ours.sum() == pytest.approx(real.sum(), rel=0.1)
    assert ours.sum(axis=1).std() == pytest.approx(real.sum(axis=1).std(), rel=0.25)
    # not only as many, but of the same pictures
    assert np.corrcoef(ours.sum(axis=1), real.sum(axis=1))[0, 1] > 0.7


def look(view: Viewpoint, size: tuple[int, int], layout: Layout = LAYOUT) -> Outlook:
    return outlook(layout, tracks_of(layout), view, size)


def counts(labels: Labels) -> list[int]:
    return np.bincount(labels.classes, minlength=len(CLASSES)).tolist()


def test_boxes_are_within_the_picture_and_large_enough() -> None:
    labels = look(VIEWS[0], SIZE).labels(12.3)
    assert len(labels) > 3
    assert labels.boxes.dtype == np.float32
    assert (labels.boxes >= 0).all()
    assert (labels.boxes <= [*SIZE, *SIZE]).all()
    sides = labels.boxes[:, 2:] - labels.boxes[:, :2]
    assert sides.min() >= 4


def test_traffic_moves_on_slowly() -> None:
    """Two frames of one second have most boxes in common, two of different minutes have not."""
    seen = look(VIEWS[0], SIZE)

    def alike(one: float, other: float) -> float:
        first, second = (seen.labels(t).boxes for t in (one, other))
        near = np.abs(first[:, None] - second[None]).max(axis=2) < 20
        return float(near.any(axis=1).mean())

    assert np.mean([alike(t, t + 0.2) for t in range(20)]) > 0.8
    assert np.mean([alike(t, t + 60.0) for t in range(20)]) < 0.7


def test_haze_hides_what_is_far() -> None:
    seen = look(VIEWS[0], SIZE)
    clear, fog = seen.labels(3.0), seen.labels(3.0, haze_per_m=0.065)
    assert 0 < len(fog) < len(clear)
    assert seen.labels(3.0, haze_per_m=10.0).boxes.shape == (0, 4)


@pytest.mark.parametrize("blend", [0.0, 0.3, 1.0])
def test_the_haze_is_that_of_the_pictures(blend: float) -> None:
    conditions = Conditions("fog", "rain", blend)
    assert haze_per_m(conditions) == pytest.approx(look_at(conditions).haze_per_m)


def test_a_camera_that_sees_no_ring_sees_parked_cars_at_most() -> None:
    nothing = look(Viewpoint((149.0, 149.0), (170.0, 170.0), 8.0, 70.0), SIZE)
    assert len(nothing.labels(0.0)) == 0
    empty = lay_out(TOWN.model_copy(update={"cars": 0, "trucks": 0, "pedestrians": 0}), 5)
    assert len(look(VIEWS[0], SIZE, empty).labels(0.0)) == 0


def test_an_object_hides_those_behind_it() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [5, 0, 15, 10], [50, 0, 60, 10]], np.float32)
    left = _not_covered(boxes, np.array([1.0, 0.5, 0.5, 0.5]))
    assert left.tolist() == pytest.approx([1.0, 0.0, 0.5 * 0.75, 1.0])


@pytest.mark.parametrize(
    ("at", "hides"),
    [((10.0, 0.0), True), ((10.0, 3.0), False), ((25.0, 0.0), False), ((-10.0, 0.0), False)],
)
def test_what_a_tree_hides(at: tuple[float, float], hides: bool) -> None:
    """The line of sight from 8 m down to 1 m at 20 m is 4.5 m high at 10 m."""
    tree = Tree(at, height_m=6.0, radius_m=1.5, look=0)
    eye = np.array([0.0, 0.0, 8.0])
    assert hidden_by_trees(eye, np.array([[20.0, 0.0, 1.0]]), [tree]).tolist() == [hides]
    assert hidden_by_trees(eye, np.zeros((0, 3)), [tree]).tolist() == []
    assert hidden_by_trees(eye, np.array([[20.0, 0.0, 1.0]]), []).tolist() == [False]
