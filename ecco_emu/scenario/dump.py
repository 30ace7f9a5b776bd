"""Writes a scenario as YAML with every default spelled out, and makes the JSON Schema of the format."""

from __future__ import annotations

import io
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from ruamel.yaml import YAML

from ecco_emu.scenario.schema import Scenario
from ecco_emu.scenario.shape import models_of


def to_mapping(scenario: Scenario) -> dict[str, Any]:
    """Plain data with units. A camera's uplink keeps only the keys that it overrides of network.uplink."""
    data = scenario.model_dump(mode="json", by_alias=True)
    for item, camera in zip(data["cameras"], scenario.cameras, strict=True):
        if camera.uplink is None:
            del item["uplink"]
        else:
            item["uplink"] = camera.uplink.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for key in ("faults", "expect"):
        data[key] = _given(data[key])
    return data


def _given(value: Any) -> Any:
    """The same without the keys whose value is None, at any depth.

    In a fault or an expectation, None means that the key was not given; elsewhere null is a value.
    """
    if isinstance(value, dict):
        return {name: _given(item) for name, item in value.items() if item is not None}
    return [_given(item) for item in value] if isinstance(value, list) else value


def dump(scenario: Scenario) -> str:
    """YAML that loads as an equal scenario."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    stream = io.StringIO()
    yaml.dump(to_mapping(scenario), stream)
    return stream.getvalue()


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a scenario, for editors: keys, units, limits, defaults."""
    described = Scenario.model_json_schema(by_alias=True, mode="validation", schema_generator=_WithoutSuffix)
    for name, model in models_of(Scenario).items():
        properties = (described if model is Scenario else described["$defs"][name])["properties"]
        for key, value in _defaults(model).items():
            properties[key]["default"] = value
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ecco-emu scenario",
        **{key: value for key, value in described.items() if key != "title"},
    }


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    """The defaults of a model's keys as a scenario would give them: quantities are text with a unit."""
    optional = {name for name, field in model.model_fields.items() if not field.is_required()}
    return model.model_construct().model_dump(mode="json", by_alias=True, include=optional)


class _WithoutSuffix(GenerateJsonSchema):
    """Leaves ``Section`` out of definitions' names: it tells our classes apart and means nothing in YAML."""

    def normalize_name(self, name: str) -> str:
        return super().normalize_name(name.removesuffix("Section"))
