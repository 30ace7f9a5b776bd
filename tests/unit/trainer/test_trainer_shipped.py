"""The student this project ships: its file, its description, and that it sees by day and not by night."""

from __future__ import annotations

import hashlib
import json

import pytest

from ecco_emu.scenario import profiles
from ecco_emu.scenario.sections.world import Weather
from ecco_emu.tasks.detection import mean_average_precision
from ecco_emu.trainer.scenes import render_scenes
from ecco_emu.trainer.yolo import student
from ecco_emu.trainer.yolo.detect import detect
from ecco_emu.trainer.yolo.pretrain import learning_rate

PATH = profiles.student_path("yolo11n-town")


def test_the_description_is_of_this_file() -> None:
    about = json.loads(PATH.with_suffix(".json").read_text())
    weights = PATH.read_bytes()
    assert about["sha256"] == hashlib.sha256(weights).hexdigest()
    assert tuple(about["size"]) == student.load(weights).size == student.DEFAULT_SIZE
    assert about["map50"]["day"] > 0.6


@pytest.mark.parametrize(("weather", "least", "most"), [("day", 0.35, 1.0), ("night", 0.0, 0.2)])
def test_it_sees_by_day_and_must_learn_the_night(weather: Weather, least: float, most: float) -> None:
    """A town it was not trained on, few pictures: wide bounds."""
    shipped = student.load(PATH.read_bytes())
    scenes = render_scenes(7, 555, 12, weather, shipped.size)
    found = detect(shipped.model, [image for image, _ in scenes], shipped.size)
    accuracy = mean_average_precision([labels for _, labels in scenes], found)
    assert least <= accuracy.map <= most


def test_the_learning_rate_warms_up_and_falls() -> None:
    assert learning_rate(0, 0.0) < learning_rate(50, 0.02) < learning_rate(100, 0.04)
    assert learning_rate(2000, 1.0) == pytest.approx(0.01 * learning_rate(100, 0.0))
