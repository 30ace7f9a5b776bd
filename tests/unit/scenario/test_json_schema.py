"""The JSON Schema that editors use: its defaults are values that a scenario could give."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ecco_emu.scenario import dump, loading
from ecco_emu.scenario.schema import Scenario
from ecco_emu.scenario.shape import fields_of, models_of

from .conftest import SMALL, lines, wrong

SCHEMA = dump.json_schema()
TYPES: dict[str, Any] = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}


def fits(value: object, schema: dict[str, Any]) -> bool:
    """Whether a value is of a schema's form: the part of JSON Schema that this one uses."""
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return any(fits(value, each) for each in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return value in schema.get("enum", [schema.get("const")])
    if isinstance(value, bool) != (schema["type"] == "boolean"):  # Python counts a bool as a number
        return False
    if not isinstance(value, TYPES[schema["type"]]):
        return False
    if isinstance(value, str) and "pattern" in schema:
        return re.search(schema["pattern"], value) is not None
    if isinstance(value, dict):
        properties = schema["properties"]
        needed = set(schema.get("required", ()))
        return needed <= value.keys() and all(
            key in properties and fits(item, properties[key]) for key, item in value.items()
        )
    return True


DEFAULTS = [
    (f"{name}.{key}", value)
    for name, each in {"Scenario": SCHEMA, **SCHEMA["$defs"]}.items()
    for key, value in each.get("properties", {}).items()
    if "default" in value
]


def test_every_default_has_its_own_keys_form() -> None:
    assert len(DEFAULTS) > 80
    assert [name for name, schema in DEFAULTS if not fits(schema["default"], schema)] == []


@pytest.mark.parametrize(
    ("name", "default"),
    [("Bottleneck.rate", "6mbit"), ("Windows.length", "20s"), ("Uplink.loss", "0%"), ("Town.size", "300m")],
)
def test_quantities_are_text_with_a_unit(name: str, default: str) -> None:
    assert dict(DEFAULTS)[name]["default"] == default


def test_every_key_is_in_the_schema() -> None:
    for name, model in models_of(Scenario).items():
        properties = (SCHEMA if model is Scenario else SCHEMA["$defs"][name])["properties"]
        assert set(fields_of(model)) <= set(properties)


# ``link`` stands for ``on``, which YAML 1.1 reads as true


def test_a_fault_may_name_its_link_link(write, small):
    small["faults"] = [{"at": "1s", "link": "cam1", "down": {"for": "2s"}}]
    scenario = loading.from_mapping(small)
    assert scenario.faults[0].on == "cam1"
    assert dump.to_mapping(scenario)["faults"] == [{"at": "1s", "on": "cam1", "down": {"for": "2s"}}]
    assert "link" in SCHEMA["$defs"]["Fault"]["properties"]
    path = write(f"{SMALL}faults: [{{at: 1s, link: cam9, down: {{for: 2s}}}}]\n")
    assert lines(path) == ["12:25: faults[0].link: 'cam9' is no link; did you mean 'cam2'?"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"on": "cam1", "link": "cam1"}, "faults[0]: 'on' and 'link' mean the same: give one of them"),
        ({"link": 3}, "faults[0].link: 3 does not fit: this is text (put it in quotes)"),
        ({}, "faults[0]: is on no link: give 'on' (a camera's id, bottleneck or downlink)"),
    ],
)
def test_a_fault_has_one_link(small, fault, message):
    small["faults"] = [{"at": "1s", "down": True, **fault}]
    assert wrong(small) == [message]


def test_a_tool_that_has_read_on_as_true_is_named(write):
    found = lines(write(f"{SMALL}faults: [{{at: 1s, true: cam1, up: true}}]\n"))
    assert found[0].startswith(
        "12:19: faults[0].true: unknown key 'true': a tool for YAML 1.1 has taken 'on'"
    )
