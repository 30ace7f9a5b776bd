"""Three hundred broken scenario files: each ends in problems with their places, or is still right."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ecco_emu.emulation import checking
from ecco_emu.scenario import starter

SCENARIOS = Path(__file__).parents[3] / "scenarios"
SMALL = ("faults/troubled-links.yaml", "faults/uplink-flap.yaml")
SHIPPED = [*((SCENARIOS / name).read_bytes() for name in SMALL), starter.TEMPLATE.read_bytes()]
PARSED: dict[bytes, Any] = {raw: YAML(typ="safe", pure=True).load(raw) for raw in SHIPPED}
NUMBERS = [0, -1, 3, 2**63, -(10**29), 10**400, 1e308, -1e308, 5e-324, float("nan"), float("inf")]
QUANTITIES = [
    "0s",
    "-3s",
    "1e400gbit",
    "9" * 5000 + "s",
    "1e-400s",
    "nan",
    "5 parsecs",
    "100%",
    "-1%",
    "0kbit",
]
NAMES = [
    "auto",
    "oracle",
    "cam1",
    "server",
    "harbour1",
    "fault[9].end",
    ">= 1 segment",
    ">= 99999999999 segments",
]
FILES = ["../../x", "/dev/null", "/dev/zero", "/", ".", "x\0y"]
TEXTS = ["", " ", "a\nb", "é", "\u202e", "\ud7ff", "🚂" * 50, "{{7*7}}", "[red]x[/red]", "x" * 3000]
SHAPES = [[], [[]], {}, [None], ["1m"], ["1m", "1m"], [1, 2, 3], {"for": "1s"}, {"": ""}, {"x": {"y": [1]}}]
ODD: list[Any] = [None, True, False, *NUMBERS, *QUANTITIES, *NAMES, *FILES, *TEXTS, *SHAPES]
KEYS = [
    "",
    "on",
    "true",
    "null",
    "1",
    "for",
    "is",
    "cameras",
    "name",
    "é",
    "a b",
    "x" * 300,
    "a\nb",
    "[/]",
    "<<",
]


def spots(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) below a node."""
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [spot for key, value in list(inside) for spot in [(node, key), *spots(value)]]


def replace(rng: random.Random, data: Any) -> None:
    container, key = rng.choice(spots(data))
    container[key] = copy.deepcopy(rng.choice(ODD))


def drop(rng: random.Random, data: Any) -> None:
    container, key = rng.choice(spots(data))
    del container[key]


def rename(rng: random.Random, data: Any) -> None:
    container, key = rng.choice([spot for spot in spots(data) if isinstance(spot[0], dict)])
    near = str(key)[:-1] if rng.random() < 0.5 else rng.choice(KEYS)
    container[near] = container.pop(key)


def swap(rng: random.Random, data: Any) -> None:
    (one, first), (other, second) = rng.choice(spots(data)), rng.choice(spots(data))
    one[first], other[second] = copy.deepcopy(other[second]), copy.deepcopy(one[first])


def repeat(rng: random.Random, data: Any) -> None:
    lists = [spot[0][spot[1]] for spot in spots(data) if isinstance(spot[0][spot[1]], list)]
    chosen = rng.choice([each for each in lists if each])
    chosen += copy.deepcopy(chosen) * rng.choice([1, 1, 8])


def of_data(change: Callable[[random.Random, Any], None]) -> Callable[[random.Random, bytes], bytes]:
    def mutate(rng: random.Random, raw: bytes) -> bytes:
        data = copy.deepcopy(PARSED[raw])
        for _ in range(rng.choice([1, 1, 2, 5])):
            change(rng, data)
        return written(data).encode("utf-8", "surrogatepass")

    return mutate


def written(node: Any) -> str:
    """Flow style, which can write every value: JSON's, but for numbers and texts that JSON has not."""
    if isinstance(node, dict):
        return "{" + ", ".join(f"{written(str(key))}: {written(value)}" for key, value in node.items()) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(map(written, node)) + "]"
    if isinstance(node, str):
        return '"' + "".join(f"\\u{ord(c):04x}" if ord(c) < 32 or c in '"\\' else c for c in node) + '"'
    words = {"None": "null", "True": "true", "False": "false", "nan": ".nan", "inf": ".inf"}
    return words.get(str(node), str(node))


def truncate(rng: random.Random, raw: bytes) -> bytes:
    return raw[: rng.randrange(len(raw))]


def flip(rng: random.Random, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(rng.choice([1, 3, 20])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


INSERTED = [
    *(b"\t", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", "\u2028".encode()),
    *(
        b"&a *a",
        b"<<: ",
        b"- ",
        b"---\n",
        b"'",
        b'"',
        b"#",
        b"? ",
        b"| ",
        b"%YAML 1.1\n",
        b"{" * 60,
        b"[" * 60,
    ),
    *(b"!!python/name:os.system ", b"1:30:00", b"0x" + b"f" * 5000, b"9" * 5000),
]


def insert(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw))
    return raw[:at] + rng.choice(INSERTED) + raw[at:]


def move_lines(rng: random.Random, raw: bytes) -> bytes:
    lines = raw.splitlines(keepends=True)
    chosen = lines.pop(rng.randrange(len(lines)))
    lines.insert(rng.randrange(len(lines)), b" " * rng.randrange(6) + chosen)
    if rng.random() < 0.5:
        lines.insert(rng.randrange(len(lines)), chosen)
    return b"".join(lines)


MUTATIONS: list[Callable[[random.Random, bytes], bytes]] = [
    *map(of_data, (replace, replace, replace, drop, rename, swap, repeat)), truncate, flip, insert, move_lines
]  # fmt: skip
FORM = re.compile(r"\S+/x\.yaml(:[1-9]\d*:[1-9]\d*)?: .+")


def test_three_hundred_mutated_scenarios_give_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    broken = 0
    for seed in range(300):
        rng = random.Random(seed)
        path.write_bytes(rng.choice(MUTATIONS)(rng, rng.choice(SHIPPED)))
        found = checking.examine([path])  # any exception is the traceback that must not be
        lines = [str(problem) for problem in found]
        assert all(FORM.fullmatch(line) for line in lines), (seed, lines)
        assert all(len(line) < 1500 for line in lines), (seed, lines)
        assert all(line.encode() for line in lines), "can be written to any terminal"
        broken += any(problem.severity == "error" for problem in found)
    assert broken > 150, "most mutations break a scenario"
