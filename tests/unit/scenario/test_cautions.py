"""Scenarios that can run and hardly do what their author wants."""

from __future__ import annotations

import pytest

from ecco_emu.scenario import cautions, loading
from ecco_emu.scenario.problems import path_text


def warned(data):
    found = cautions.cautions(loading.from_mapping(data, files=False))
    return [f"{path_text(path)}: {message}" for path, message in found if "still learn" not in message]


def test_a_scenario_may_have_nothing_odd(small):
    assert warned(small) == []


@pytest.mark.parametrize("key", ["loss", "corrupt"])
def test_a_link_that_loses_everything(small, key):
    small["network"] = {"bottleneck": {key: "100%"}}
    small["cameras"][1]["uplink"] = {key: "100%"}
    found = warned(small)
    assert [one.partition(":")[0] for one in found] == [
        f"network.bottleneck.{key}",
        f"cameras[1].uplink.{key}",
    ]
    assert "use a 'down' or 'blackhole' fault" in found[0]
    small["network"] = {"bottleneck": {key: "99%"}}
    small["cameras"][1]["uplink"] = {}
    assert warned(small) == []


@pytest.mark.parametrize(
    ("at", "look_at", "odd"),
    [
        (["1m", "2m"], ["10m", "10m"], True),
        (["1.2m", "2m"], ["12m", "10m"], True),
        (["1m", "2m"], ["-10m", "-10m"], False),  # another street
        (["1m", "2m"], ["-10m", "14m"], False),
        (["3m", "2m"], ["10m", "10m"], False),  # another spot
    ],
)
def test_two_cameras_with_one_picture(small, at, look_at, odd):
    small["cameras"][1]["at"] = at
    small["cameras"][1]["source"]["look_at"] = look_at
    found = warned(small)
    assert [one.partition(":")[0] for one in found] == (["cameras[1].at"] if odd else [])
    assert not odd or "the spot of cam1" in found[0]


def test_a_setting_of_training_that_is_only_modelled(small):
    small["trainer"] = {"backend": "curve", "learning_rate": 0.001}
    assert warned(small) == [
        "trainer.learning_rate: has no effect with 'backend: curve', which was fitted to training with 0.0005"
    ]
    for trainer in ({"backend": "curve", "learning_rate": 0.0005}, {"learning_rate": 0.001}):
        small["trainer"] = trainer
        assert warned(small) == []
