from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ecco_emu.scenario import loading
from ecco_emu.scenario.problems import InvalidScenario

Write = Callable[[str], Path]

SMALL = """\
version: 1
name: small
windows: {count: 2, length: 10s, micro: 2s}
world:
  town:
    size: 200m
    districts:
      - {name: harbour, center: [0m, 0m], radius: 50m, weather: [{at: 0s, is: day}, {at: 3s, is: fog}]}
cameras:
  - {id: cam1, at: [1m, 2m], source: {look_at: [10m, 10m]}}
  - {id: cam2, at: [5m, 2m], source: {look_at: [10m, 10m]}}
"""


@pytest.fixture(autouse=True)
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Profiles with one (empty) student, so that the tests need no trained one, and the shipped traces and
    tables."""
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "links").symlink_to(Path(__file__).parents[3] / "profiles" / "links")
    (folder / "tables").symlink_to(Path(__file__).parents[3] / "profiles" / "tables")
    (folder / "students").mkdir()
    (folder / "students" / "yolo11n-town.safetensors").touch()
    monkeypatch.setenv("ECCO_EMU_PROFILES", str(folder))
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_text(text: str) -> Path:
        path = tmp_path / "x.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_text


@pytest.fixture
def small() -> dict[str, Any]:
    """The plain data of a scenario that is right."""
    data: dict[str, Any] = YAML(typ="safe", pure=True).load(SMALL)
    return data


def lines(path: Path, **options: Any) -> list[str]:
    """What is wrong with a file, without its name."""
    try:
        loading.load(path, **options)
    except InvalidScenario as error:
        return [line.removeprefix(f"{path}:") for line in str(error).splitlines()]
    return []


def wrong(data: dict[str, Any], **options: Any) -> list[str]:
    """What is wrong with plain data, as ``path: message``."""
    try:
        loading.from_mapping(data, source="x", **options)
    except InvalidScenario as error:
        return [line.removeprefix("x: ") for line in str(error).splitlines()]
    return []
