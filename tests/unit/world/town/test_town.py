"""The town as a world: frames on demand from a process of its own."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from ecco_emu.core.errors import HostError
from ecco_emu.core.ids import CameraId
from ecco_emu.scenario import schema
from ecco_emu.world.open import open_world
from ecco_emu.world.source import ConditionChange
from ecco_emu.world.town import world as town_module
from ecco_emu.world.town.preview import contact_sheet, map_picture
from ecco_emu.world.town.world import TownWorld

CAM1, CAM2 = CameraId("cam1"), CameraId("cam2")


def scenario() -> schema.Scenario:
    def district(name: str, y: int, weather: list[dict[str, str]]) -> dict[str, object]:
        return {"name": name, "center": ["0m", f"{y}m"], "radius": "50m", "weather": weather}

    return schema.Scenario.model_validate(
        {
            "version": 1,
            "name": "two-eyes",
            "seed": 3,
            "world": {
                "town": {
                    "size": "160m",
                    "cars": 30,
                    "trucks": 6,
                    "pedestrians": 40,
                    "districts": [
                        district("north", 50, [{"at": "0s", "is": "day"}]),
                        district("south", -50, [{"at": "0s", "is": "day"}, {"at": "10s", "is": "night"}]),
                    ],
                }
            },
            "cameras": [
                {"id": "cam1", "at": ["5m", "30m"], "source": {"look_at": ["0m", "58m"]}},
                {
                    "id": "cam2",
                    "at": ["5m", "-30m"],
                    "source": {"look_at": ["0m", "-58m"], "size": [160, 96], "fps": 5},
                },
            ],
        }
    )


@pytest_asyncio.fixture
async def world() -> AsyncIterator[TownWorld]:
    made = TownWorld(scenario())
    await made.start()
    yield made
    await made.close()


async def test_frames_labels_and_sharing(world: TownWorld) -> None:
    first, same, other = await asyncio.gather(
        world.frame(CAM1, 20), world.frame(CAM1, 20), world.frame(CAM2, 20)
    )
    assert first is same  # rendered once
    assert (first.camera, first.index, first.t) == (CAM1, 20, 2.0)
    assert other.t == 4.0
    assert first.image.shape == (192, 320, 3)
    assert other.image.shape == (96, 160, 3)
    assert len(world.labels(CAM1, 20).boxes) == len(world.labels(CAM1, 20))
    with pytest.raises(KeyError):
        world.labels(CAM1, 21)
    with pytest.raises(KeyError):
        await world.frame(CameraId("nobody"), 0)


async def test_forgets_old_frames_and_renders_them_again_alike(
    world: TownWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(town_module, "LABEL_HISTORY", 10)
    first = await world.frame(CAM2, 0)
    for index in range(1, 12):
        await world.frame(CAM2, index)
    with pytest.raises(KeyError):
        world.labels(CAM2, 0)
    assert len(world.labels(CAM2, 11).boxes) >= 0
    again = await world.frame(CAM2, 0)
    assert again is not first
    assert np.array_equal(again.image, first.image)


async def test_one_who_stops_waiting_does_not_take_the_frame_from_others(world: TownWorld) -> None:
    impatient = asyncio.create_task(world.frame(CAM1, 1))
    patient = asyncio.create_task(world.frame(CAM1, 1))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).index == 1
    assert impatient.cancelled()


async def test_a_dead_renderer_is_the_hosts_fault(world: TownWorld) -> None:
    assert world._worker is not None
    pid = await world._worker.call(os.getpid)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(HostError, match="rendering the town died"):
        await world.frame(CAM1, 0)


def test_conditions_and_places_of_cameras() -> None:
    world = open_world(scenario())
    assert world.condition_changes(CAM1) == [ConditionChange(0.0, "north", "day")]
    assert world.condition_changes(CAM2) == [
        ConditionChange(0.0, "south", "day"),
        ConditionChange(10.0, "south", "night"),
    ]
    assert [world.condition(CAM2, t) for t in (0.0, 9.9, 10.0, 11.0)] == ["day", "day", "night", "night"]
    assert world.condition(CAM1, 11.0) == "day"
    assert [world.settled(CAM2, t) for t in (9.9, 10.5, 11.0)] == [True, False, True]
    assert (world.position(CAM1, 0.0), world.position(CAM2, 9.0)) == ((5.0, 30.0), (5.0, -30.0))


async def test_a_world_that_was_not_started_says_so() -> None:
    with pytest.raises(HostError, match="start it"):
        await TownWorld(scenario()).frame(CAM1, 0)


def test_previews_are_pictures() -> None:
    sheet = Image.open(io.BytesIO(contact_sheet(scenario(), [0.0, 10.5])))
    assert sheet.size == (640, 2 * (192 + 18))
    chart = Image.open(io.BytesIO(map_picture(scenario())))
    assert chart.size == (900, 900)
    assert len(chart.getcolors(10**6) or []) > 20
