"""Changes a scenario's data before it is checked, for ``--set key=value``, ``--seed`` and the like."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ecco_emu.scenario.document import Document, parse
from ecco_emu.scenario.problems import Path, Place, Problem, did_you_mean, shown

_INDEX = re.compile(r"\[(\w+)\]")


class _BadPathError(Exception):
    pass


def apply_sets(document: Document, overrides: Sequence[str]) -> list[Problem]:
    """Applies each ``dotted.path=value`` in order, and returns a problem for each that cannot be applied."""
    problems = []
    for text in overrides:
        option = f"--set {text}"
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            problems.append(Problem(Place(option), "", "write it as key=value, such as windows.count=2"))
            continue
        problems += apply_option(document, key, value, option)
    return problems


def apply_option(document: Document, key: str, value: str, option: str) -> list[Problem]:
    """Sets ``key`` to ``value``, a text in YAML. From now on the value's place is ``option``."""
    parsed = parse(value, option)
    if parsed.problems:
        if not value.strip():
            return [Problem(Place(option), "", "no value after '='")]
        return [Problem(Place(option), "", problem.message) for problem in parsed.problems]
    parts = _INDEX.sub(r".\1", key).split(".")
    try:
        path = _assign(document, parts, parsed.data)
    except _BadPathError as error:
        return [Problem(Place(option), "", str(error))]
    _remember(document, path, option)
    return []


def _assign(document: Document, parts: list[str], value: object) -> Path:
    if "" in parts:
        raise _BadPathError("the key has an empty part")
    if not isinstance(document.data, dict):
        raise _BadPathError("the scenario is not a mapping, so nothing in it can be set")
    node: Any = document.data
    path: Path = ()
    for position, part in enumerate(parts):
        key = _step(node, part, path)
        path = (*path, key)
        if position == len(parts) - 1:
            node[key] = value
        else:
            # a section that the file leaves out begins empty here; its other keys keep their defaults
            if isinstance(node, dict) and node.get(key) is None:
                node[key] = {}
            node = node[key]
    return path


def _step(node: object, part: str, path: Path) -> str | int:
    if isinstance(node, dict):
        return part
    where = ".".join(map(str, path))
    if not isinstance(node, list):
        raise _BadPathError(f"{where} is the value {shown(node)}, with nothing inside to set")
    if re.fullmatch(r"\d{1,6}", part):
        if int(part) < len(node):
            return int(part)
        raise _BadPathError(f"{where} has {len(node)} items, numbered from 0")
    names = [_name(item) for item in node]  # ``cameras.cam2.uplink.rate``: an item goes by its id too
    if part in names:
        return names.index(part)
    hint = did_you_mean(part, [name for name in names if name])
    raise _BadPathError(
        f"{where} has no item {shown(part)}{hint or f'; use a number from 0 to {len(node) - 1}'}"
    )


def _name(item: object) -> str | None:
    name = (item.get("id") or item.get("name")) if isinstance(item, dict) else None
    return name if isinstance(name, str) else None


def _remember(document: Document, path: Path, option: str) -> None:
    # the places below the old value are gone with it; parents that the file lacks get the option's place
    for places in (document.values, document.keys):
        for known in [known for known in places if known[: len(path)] == path]:
            del places[known]
    place = Place(option)
    for length in range(len(path), 0, -1):
        document.values.setdefault(path[:length], place)
        document.keys.setdefault(path[:length], place)
