"""Puts Pydantic's errors into words that the author of a scenario understands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ecco_emu.core import units
from ecco_emu.scenario import schema
from ecco_emu.scenario.document import Document
from ecco_emu.scenario.problems import Path, Problem, did_you_mean, path_text, shown
from ecco_emu.scenario.shape import fields_of, model_at

_UNIT = re.compile(r"[A-Za-z%]+\s*$")
UNITS: dict[str, tuple[frozenset[str], Callable[[float], str]]] = {
    "rate": (frozenset({"bit", "kbit", "mbit", "gbit"}), units.format_rate),
    "time": (frozenset({"us", "ms", "s", "min", "h"}), units.format_time),
    "length": (frozenset({"cm", "m", "km"}), units.format_length),
    "fraction": (frozenset({"%"}), units.format_fraction),
}
"""By kind of quantity: its units, and the function that writes a base-unit value with its unit."""
_TYPES = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text (put it in quotes)",
    "tuple_type": "a list, such as [a, b]",
    "list_type": "a list, such as [a, b]",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def problems_of(
    error: ValidationError, document: Document, root: type[BaseModel] = schema.Scenario
) -> list[Problem]:
    """A problem with its place for every error of a validation."""
    items = [dict(item) for item in error.errors(include_url=False)]
    return [_problem(item, document, root) for item in items if not _echo(item, document)]


def _echo(item: Mapping[str, Any], document: Document) -> bool:
    """Whether an error only repeats others.

    Pydantic counts only the valid items of a list: a list that is long enough is then "too short", because
    some of its items have errors of their own.
    """
    given = _given(item, tuple(item["loc"]), document)
    return item["type"] == "too_short" and isinstance(given, list) and len(given) >= item["ctx"]["min_length"]


def _problem(item: Mapping[str, Any], document: Document, root: type[BaseModel]) -> Problem:
    path: Path = tuple(item["loc"])
    message = _sentence(item, path, document, root)
    place = document.place(path, of_key=item["type"] == "extra_forbidden")
    return Problem(place, path_text(path), message)


def _sentence(item: Mapping[str, Any], path: Path, document: Document, root: type[BaseModel]) -> str:
    kind: str = item["type"]
    context: Mapping[str, Any] = item.get("ctx", {})
    given = _given(item, path, document)
    if kind == "extra_forbidden":
        return _unknown_key(path, root)
    if kind == "missing":
        return _missing(path, root)
    if kind == "value_error":
        return str(context.get("error", item["msg"]))
    if kind == "literal_error":
        return _not_one_of(given, re.findall(r"'([^']*)'", context["expected"]), context["expected"])
    if kind in _BOUNDS:
        return _bound(kind, context, given, path)
    if kind in _TYPES:
        return f"{shown(given)} does not fit: this is {_TYPES[kind]}" if given is not None else _nothing(kind)
    if kind == "string_pattern_mismatch":
        # the run's name is the one that names a folder; all others name nodes and districts
        start, most = ("a letter or digit", 64) if path == ("name",) else ("a letter", 32)
        return f"{shown(given)} is not a name: letters, digits, '-' and '_', first {start}, {most} at most"
    if kind in ("too_short", "too_long"):
        return _length(kind, context)
    return f"{shown(given)} cannot stand here"


def _given(item: Mapping[str, Any], path: Path, document: Document) -> Any:
    """The value as it was written; Pydantic's input only where the path is none of the document."""
    try:
        return document.at(path)
    except LookupError:
        return item.get("input")


def _unknown_key(path: Path, root: type[BaseModel]) -> str:
    model = model_at(root, path[:-1])
    known = list(fields_of(model)) if model else []
    key = str(path[-1])
    if key.lower() in ("true", "yes") and "on" in known:
        return f"unknown key {shown(key)}: a tool for YAML 1.1 has taken 'on' for it; write 'link' instead"
    hint = did_you_mean(key, known)
    return f"unknown key {shown(key)}{hint or '; known here: ' + ', '.join(known)}"


def _missing(path: Path, root: type[BaseModel]) -> str:
    if path and isinstance(path[-1], int):  # only points and sizes have a fixed number of items, two
        return "two values are needed, such as [12m, -4m]"
    model = model_at(root, path[:-1])
    field = fields_of(model).get(str(path[-1])) if model else None
    meaning = f" ({field.description.split('.')[0].rstrip()})" if field and field.description else ""
    return f"is missing and has no default{meaning}"


def _not_one_of(given: object, choices: list[str], expected: str) -> str:
    if not choices:
        return f"{shown(given)} does not fit: this is {expected}"
    hint = did_you_mean(given, choices) if isinstance(given, str) else ""
    return f"{shown(given)} is not one of: {', '.join(choices)}{hint}"


def _bound(kind: str, context: Mapping[str, Any], given: object, path: Path) -> str:
    key, words = _BOUNDS[kind]
    limit = _like(given)(float(context[key]))
    message = f"{shown(given)} is out of range: it must be {words} {limit}"
    if path and path[-1] == "rate" and kind == "greater_than_equal":
        message += "; for a dead link use a 'down' fault"
    return message


def _like(given: object) -> Callable[[float], str]:
    """The function that writes a base-unit value with a unit of the same kind as ``given`` has."""
    match = _UNIT.search(given) if isinstance(given, str) else None
    for names, form in UNITS.values():
        if match and match[0].strip().lower() in names:
            return form
    return "{:.12g}".format


def _nothing(kind: str) -> str:
    return f"nothing is given; this is {_TYPES[kind]}"


def _length(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "too_short":
        least = context.get("min_length", 1)
        return "at least one is needed" if least == 1 else f"at least {least} are needed"
    return f"has {context.get('actual_length')} items; at most {context.get('max_length')} fit"
