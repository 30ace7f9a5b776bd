"""The tables of docs/reference/scenario.md, made from the schema so that the two cannot drift apart.

After changing the schema: ``python -c "from ecco_emu.scenario import reference; reference.write()"``.
"""

from __future__ import annotations

import re
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ecco_emu.scenario import schema
from ecco_emu.scenario.shape import fields_of, inner_model, models_of
from ecco_emu.scenario.wording import UNITS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reference" / "scenario.md"
_TABLE = re.compile(r"<!-- table: (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def write(document: Path = DOCUMENT) -> None:
    """Renews the tables in the document."""
    document.write_text(renewed(document.read_text(encoding="utf-8")), encoding="utf-8")


def renewed(text: str) -> str:
    """The text with every ``<!-- table: Model -->`` filled from the schema."""
    return _TABLE.sub(lambda match: f"<!-- table: {match[1]} -->\n{table(match[1])}\n<!-- end -->", text)


def table(name: str) -> str:
    """A Markdown table of a model's keys: value, default, meaning."""
    model = models_of(schema.Scenario)[name]
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, field in fields_of(model).items():
        meaning = " ".join((field.description or "").split()).replace("``", "`").replace("|", "\\|")
        rows.append(f"| `{key}` | {_value(field)} | {_default(field)} | {meaning} |")
    return "\n".join(rows)


def _value(field: FieldInfo) -> str:
    text = _kind(field.annotation, list(field.metadata))
    return text.replace("|", "\\|")


def _kind(annotation: Any, metadata: list[Any]) -> str:
    # a field's own limits stand in its metadata, those of a type such as Fraction in its annotation
    while typing.get_origin(annotation) is typing.Annotated:
        annotation, *more = typing.get_args(annotation)
        metadata = [*more, *metadata]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        kinds = [_kind(item, metadata) for item in arguments if item is not type(None)]
        return " or ".join(kinds)
    if origin is typing.Literal:
        return ", ".join(f"`{_scalar(item)}`" for item in arguments)
    if origin is tuple:
        if Ellipsis in arguments:
            return "a list"
        return f"[{', '.join(_kind(item, []) for item in arguments)}]"
    if inner_model(annotation):
        return "a mapping"
    return _plain(annotation, metadata)


def _plain(annotation: Any, metadata: list[Any]) -> str:
    parsers = [getattr(getattr(item, "func", None), "__name__", "") for item in metadata]
    kind = next((name for name in ("rate", "time", "length", "fraction") if f"parse_{name}" in parsers), None)
    if kind is None:
        kind = {bool: "true or false", int: "whole number", float: "number"}.get(annotation, "text")
    form = UNITS[kind][1] if kind in UNITS else "{:.12g}".format
    limits = [_limit(item, form) for item in _flat(metadata)]
    return " ".join([{"fraction": "percentage"}.get(kind, kind), ", ".join(filter(None, limits))]).strip()


def _flat(metadata: list[Any]) -> list[Any]:
    flat = []
    for item in metadata:
        flat += item.metadata if isinstance(item, FieldInfo) else [item]
    return flat


def _limit(item: Any, form: Any) -> str:
    for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
        value = getattr(item, name, None)
        if value is not None:
            return f"{sign} {form(float(value))}"
    return ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if isinstance(field.default, BaseModel):
        return "see below"
    if field.default is None or field.default == ():
        return "none"
    return f"`{_written(field)}`"


def _written(field: FieldInfo) -> str:
    kind = _kind(field.annotation, list(field.metadata)).split(" ")[0]
    if kind in UNITS or kind == "percentage":
        return UNITS["fraction" if kind == "percentage" else kind][1](field.default)
    if isinstance(field.default, tuple):
        return f"[{', '.join(_scalar(item) for item in field.default)}]"
    return _scalar(field.default)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
