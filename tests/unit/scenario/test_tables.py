"""Sampling tables that a scenario names: found, read, and wrong ones told with their line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ecco_emu.control.sampling import SamplingConfig, SamplingTable, default_table
from ecco_emu.control.transmission import CameraLimits, GpuProportional
from ecco_emu.core.ids import CameraId
from ecco_emu.scenario import dump, loading, profiles

from .conftest import SMALL, Write, lines, wrong

OWN = """\
version: 1
levels:
  - {gpu: 1, fps: 0.5, size: [64, 64]}
  - {gpu: 2, fps: 3, size: [128, 96]}
"""


def test_the_shipped_table_is_found_by_name() -> None:
    assert profiles.tables() == ["static-small"]
    assert profiles.sampling_table("static-small").config_for(2.0) == SamplingConfig(3.0, 320, 192)


def test_a_runs_plan_follows_the_tables_that_its_scenario_names(write: Write, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    text = SMALL.replace(
        "{look_at: [10m, 10m]}}\n  - {id: cam2", "{look_at: [10m, 10m], table: ./own.yaml}}\n  - {id: cam2"
    )
    scenario = loading.load(write(f"{text}trainer: {{table: static-small}}\n")).scenario
    tables = scenario.sampling_tables()
    assert tables[CameraId("cam1")] == SamplingTable(
        ((1.0, SamplingConfig(0.5, 64, 64)), (2.0, SamplingConfig(3.0, 128, 96)))
    )
    rule = GpuProportional(tables=tables, pixels_per_s_per_level=scenario.pixels_per_s_per_level)
    plans = [rule.plan(2.0, 0.5, 1, CameraLimits(10.0, 320, 192, camera=CameraId(f"cam{i}"))) for i in (1, 2)]
    assert [(plan.width, plan.fps) for plan in plans] == [(128, 2.5), (320, 2.5)]
    # the run directory's copy of the scenario still finds the table
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    (copy / "scenario.yaml").write_text(dump.dump(scenario))
    assert loading.load(copy / "scenario.yaml").scenario.sampling_tables() == tables


def test_without_a_table_the_sampling_follows_from_the_gpus_speed(small: dict[str, Any]) -> None:
    small["trainer"] = {"gpu_speed": 20}
    scenario = loading.from_mapping(small)
    assert scenario.sampling_tables() == {}
    budget = scenario.pixels_per_s_per_level
    assert budget == pytest.approx(20 * 2 / 10 * 320 * 192)
    assert default_table(320, 192, budget).config_for(1.0).fps == pytest.approx(4.0)


def test_a_table_that_is_not_there(small: dict[str, Any]) -> None:
    small["trainer"] = {"table": "static-smal"}
    small["cameras"][0]["source"]["table"] = "./nothing.yaml"
    assert wrong(small) == [
        "cameras[0].source.table: no sampling table at './nothing.yaml'",
        "trainer.table: no sampling table 'static-smal'; did you mean 'static-small'?; or give a path",
    ]
    assert wrong(small, files=False) == []


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (OWN.replace("0.5", "0"), "3:5", "levels[0]: fps must be positive"),
        (OWN.replace("[128, 96]", "[100, 96]"), "4:5", "levels[1]: width and height must be multiples of 32"),
        (OWN.replace("gpu: 2", "gpu: 1"), "3:3", "levels: GPU levels must rise"),
        (OWN.replace("version: 1", "version: 2"), "1:10", "version: this reads"),
        (OWN + "passes: 1\n", "5:9", "passes: a sampling table has version and levels alone"),
        ("version: 1\nversion: 1\n", "2:1", "duplicate key"),
        ("- 1\n", "", "a sampling table is a mapping"),
    ],
)
def test_a_wrong_table_is_told_with_its_line(
    write: Write, tmp_path: Path, text: str, place: str, message: str
) -> None:
    (tmp_path / "own.yaml").write_text(text)
    [problem] = lines(write(f"{SMALL}trainer: {{table: own.yaml}}\n"))
    assert "trainer.table" in problem
    assert f"{tmp_path / 'own.yaml'}:{place}" in problem
    assert message in problem


def test_the_size_of_a_cameras_inference_is_a_multiple_of_the_stride(small: dict[str, Any]) -> None:
    small["cameras"][0]["source"]["infer_size"] = [256, 160]
    assert loading.from_mapping(small).cameras[0].source.infer_size == (256, 160)
    small["cameras"][0]["source"]["infer_size"] = [250, 160]
    assert "multiples of 32" in wrong(small)[0]
