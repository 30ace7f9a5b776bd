"""The pages under docs/ say what the code says: links, scenarios, events, verbs and options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import typer.main
from ruamel.yaml import YAML

from ecco_emu.cli import app
from ecco_emu.core.events import AnyEvent
from ecco_emu.scenario import loading

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next one of any level."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"docs/{page} has no heading {heading!r}"
    return found[1]


def yaml_blocks(page: str) -> list[str]:
    return BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", ["own-scenario", "break-things"])
def test_the_tutorials_scenario_is_right(page: str, tmp_path: Path) -> None:
    """Each page adds parts to the scenario with which the tutorial begins."""
    whole, *added = yaml_blocks("tutorial/own-scenario.md")
    parts = added if page == "own-scenario" else yaml_blocks(f"tutorial/{page}.md")
    assert parts
    path = tmp_path / "crossing.yaml"
    path.write_text(whole + "".join(parts), encoding="utf-8")
    assert loading.check([path]) == []


def test_the_workflow_of_continuous_integration_is_right() -> None:
    [text] = yaml_blocks("how-to/ci.md")
    [job] = YAML(typ="safe").load(text)["jobs"].values()
    assert all(step.keys() & {"uses", "run"} for step in job["steps"])
    [tests] = [step["run"] for step in job["steps"] if "pytest -" in step.get("run", "")]
    assert "--ecco-require netns" in tests


KINDS: list[Any] = list(get_args(AnyEvent))


@pytest.mark.parametrize("event", KINDS, ids=lambda event: event.__name__)
def test_every_event_and_field_is_in_the_reference(event: Any) -> None:
    text = section("reference/events.md", str(event.__struct_config__.tag))
    missing = [
        field.encode_name
        for field in msgspec.structs.fields(event)
        if field.encode_name != "t" and f"`{field.encode_name}`" not in text
    ]
    assert not missing


def verbs(group: Any, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        found |= verbs(command, f"{name} ") if hasattr(command, "commands") else {prefix + name: command}
    return found


VERBS = verbs(typer.main.get_command(app))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_is_in_the_reference(verb: str) -> None:
    text = section("reference/command-line.md", verb)
    options = [
        option
        for parameter in VERBS[verb].params
        for option in [*parameter.opts, *parameter.secondary_opts]
        if option.startswith("--") and option != "--help"
    ]
    assert not [option for option in options if option not in text]
