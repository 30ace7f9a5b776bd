"""The cost of runs by cameras: the scenario, the samples' parts, and results from made-up figures."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from xml.etree import ElementTree

import pytest

from ecco_emu.bench.scale import command, results, scene
from ecco_emu.bench.scale.running import CostPoint, ScaleEngine
from ecco_emu.bench.scale.sampling import StackSampler, part_of
from ecco_emu.core.errors import ScenarioError
from ecco_emu.scenario.problems import InvalidScenario
from ecco_emu.scenario.schema import MOST_CAMERAS
from ecco_emu.world.town.sightings import blind_cameras
from netns.spec import MAX_LINKS


def point(
    cameras: int, cpu_s: float, parts: Mapping[str, float], engine: ScaleEngine = "simulated"
) -> CostPoint:
    return CostPoint(
        engine=engine, cameras=cameras, streaming=cameras, goodput_bps=3e5 * cameras, cpu_s=cpu_s,
        parts=parts, wall_s=cpu_s, start_s=1.5, rss_bytes=200 * 2**20,
        dilation=1.0 if engine == "simulated" else 2.0,
    )  # fmt: skip


# -- the scenario --


def test_any_number_of_cameras_has_views_of_its_own() -> None:
    made = scene.scenario(MOST_CAMERAS, 20, engine="simulated")
    views = {(camera.at, camera.source.look_at) for camera in made.cameras}
    assert len(views) == MOST_CAMERAS
    assert made.windows.duration_s >= 20


def test_its_cameras_see_something() -> None:
    assert list(blind_cameras(scene.scenario(50, 20, engine="simulated"))) == []


def test_a_lab_bears_as_many_links_as_a_scenario_has_cameras_and_the_server() -> None:
    assert MOST_CAMERAS + 1 <= MAX_LINKS
    with pytest.raises(InvalidScenario, match="has 1001 items; at most 1000 fit"):
        scene.scenario(MOST_CAMERAS + 1, 20, engine="simulated")


async def test_too_many_cameras_are_refused_before_anything_is_measured() -> None:
    with pytest.raises(ScenarioError, match="at most 1000 cameras, not 1001"):
        await command.run([10, 1001], 20.0, 0, pytest.fail)


# -- samples --


@pytest.mark.parametrize(
    ("modules", "part"),
    [
        (["numpy", "ecco_emu.trainer.curve.seeing", "ecco_emu.camera.camera"], "world and inference"),
        (["netns.simulated.switch", "ecco_emu.host.virtual_time"], "links"),
        (["ecco_emu.transport.sender", "netns.simulated.ports"], "transport"),
        (["ecco_emu.world.sketch.codec", "ecco_emu.camera.streaming"], "codec"),
        (["ecco_emu.world.town.traffic"], "world and inference"),
        (["ecco_emu.server.groups"], "control"),
        (["asyncio.events", "ecco_emu.host.virtual_time", "threading"], "event loop"),
        ([], "event loop"),
    ],
)
def test_the_innermost_code_of_ours_decides(modules: list[str], part: str) -> None:
    assert part_of(iter(modules)) == part


def test_a_thread_that_waits_costs_nothing() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    assert thread.ident is not None
    with StackSampler(thread.ident) as sampler:
        pass
    over.set()
    thread.join()
    assert sum(sampler.cpu_s.values()) < 0.001


# -- results --


def test_tables_have_the_cost_and_its_parts() -> None:
    whole, parts = results.tables([point(10, 0.5, {"transport": 0.3, "links": 0.1})], "cost")
    assert whole.rows == (("10 simulated", "10", "3", "0.5", "2", "1.5", "200"),)
    row = dict(zip(parts.headings[1:], parts.rows[0][1:], strict=True))
    assert (row["transport"], row["links"], row["codec"], row[results.ELSEWHERE]) == (
        "0.3",
        "0.1",
        "–",
        "0.1",
    )


def test_the_sentence_names_the_dearest_part_and_the_growth() -> None:
    linear = [point(10, 0.1, {"links": 0.09}), point(1000, 10.0, {"transport": 6.0, "links": 2.0})]
    assert results.bound(linear) == (
        "What bounds a simulated run is transport: 60% of the processor time with 1000 cameras, of 10.0 ms a "
        "camera and second, in proportion to the cameras or less, so at most 0.1 emulated seconds a second "
        "on a core."
    )
    square = [point(10, 0.1, {}), point(100, 10.0, {"control": 9.0})]
    assert "growing with the power 2.00 of the cameras" in results.bound(square)
    assert results.bound([point(10, 1.0, {}, engine="real")]) == ""


def test_the_picture_is_well_formed_whatever_was_measured() -> None:
    some = [point(10, 0.1, {}), point(300, 9.0, {}), point(10, 0.4, {}, engine="real")]
    for points in (some, some[:1]):
        root = ElementTree.fromstring(results.picture(points))
        assert len(root.findall("{http://www.w3.org/2000/svg}circle")) == len(points)
