"""The schema as a tree to ask: which keys may stand where."""

from __future__ import annotations

import types
import typing

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ecco_emu.scenario.problems import Path


def key_of(name: str, field: FieldInfo) -> str:
    """The key in YAML of a field: its alias, where its name is a Python word."""
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
    """The model whose keys stand at ``path``, or None when a plain value or nothing stands there."""
    model: type[BaseModel] | None = root
    for part in path:
        if isinstance(part, int):
            continue
        if model is None or part not in (fields := fields_of(model)):
            return None
        model = inner_model(fields[part].annotation)
    return model
