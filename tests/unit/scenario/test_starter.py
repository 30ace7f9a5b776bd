"""The scenario with which a person begins is right, and teaches the main keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecco_emu.core.errors import ScenarioError
from ecco_emu.emulation import checking
from ecco_emu.scenario import schema, starter


@pytest.fixture(autouse=True)
def profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped ones: their content is checked too."""
    monkeypatch.delenv("ECCO_EMU_PROFILES", raising=False)


@pytest.mark.parametrize(
    ("file", "name"),
    [("scenario.yaml", "scenario"), ("my run.yaml", "my-scenario"), ("a.b.yml", "my-scenario")],
)
def test_it_is_checked_without_a_warning(tmp_path: Path, file: str, name: str) -> None:
    path = tmp_path / file
    starter.write(path)
    assert checking.examine([path]) == []
    assert checking.load(path).scenario.name == name
    assert f"ecco-emu check {file}" in path.read_text()


def test_it_shows_the_main_keys() -> None:
    text = starter.TEMPLATE.read_text(encoding="utf-8")
    left_out = {key for key in schema.Scenario.model_fields if f"\n{key}:" not in text}
    assert left_out == {"task", "grouping", "drift", "transport", "record"}
    assert text.startswith("# yaml-language-server: $schema=./ecco-emu.schema.json\n")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("mine")
    with pytest.raises(ScenarioError, match="is there already; give another name"):
        starter.write(path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("file", ["no/such/folder/x.yaml", "x" * 300, "a\0b"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, file: str) -> None:
    with pytest.raises(ScenarioError, match="cannot be written: "):
        starter.write(tmp_path / file)
