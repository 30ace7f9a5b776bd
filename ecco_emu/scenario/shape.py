"""Looks up the schema's models and keys by their path in a scenario."""

from __future__ import annotations

import types
import typing

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ecco_emu.scenario.problems import Path
from ecco_emu.scenario.sections.base import name_in_yaml


def key_of(name: str, field: FieldInfo) -> str:
    """The field's key in YAML: its alias if it has one, as ``for`` and ``is``, which Python reserves."""
    return field.alias or name


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {key_of(name, field): field for name, field in model.model_fields.items()}


def inner_model(annotation: object) -> type[BaseModel] | None:
    """The model inside ``Model | None``, ``tuple[Model, ...]``, ``Annotated[Model, …]``; or None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated or origin in (tuple, list, typing.Union, types.UnionType):
        for argument in typing.get_args(annotation):
            found = inner_model(argument)
            if found is not None:
                return found
    return None


def model_at(root: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The model whose keys stand at ``path``; None when a plain value or nothing can stand there."""
    model: type[BaseModel] | None = root
    for part in path:
        if isinstance(part, int):  # an item of a list: its model is the list's inner model already
            continue
        if model is None or part not in (fields := fields_of(model)):
            return None
        model = inner_model(fields[part].annotation)
    return model


def models_of(root: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The model and every one inside it, by its name for people, which leaves out ``Section``."""
    found = {name_in_yaml(root): root}
    for field in root.model_fields.values():
        inner = inner_model(field.annotation)
        if inner is not None:
            found |= models_of(inner)
    return found
