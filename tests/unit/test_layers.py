"""The import layers of docs/design: imports go down only, heavy libraries stay where they belong."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LAYERS: tuple[tuple[str, ...], ...] = (
    ("core",),
    ("host",),
    ("transport", "control", "video"),
    ("policies", "tasks"),
    ("scenario",),
    ("record",),
    ("world", "report"),
    ("trainer",),
    ("camera", "server"),
    ("study", "emulation"),
    ("experiments", "bench"),
    ("cli", "pytest_plugin"),
    ("__main__",),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
MAY_IMPORT_NETNS = {"emulation", "bench", "cli", "pytest_plugin"}
SANS_IO = {"core", "control", "policies", "transport"}
IO_MODULES = {
    "asyncio",
    "time",
    "socket",
    "threading",
    "subprocess",
    "select",
    "selectors",
    "multiprocessing",
}
ADAPTER = "ecco_emu/transport/adapter/"
"""Where the transport meets asyncio, and nowhere else."""
HEAVY = {"torch", "torchvision", "ultralytics"}
TORCH_LIVES_IN = "ecco_emu/trainer/yolo/"


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> list[tuple[int, str]]:
    """(line, absolute module) of every import in the file, wherever it stands in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]
    return found


def part_of(path: Path) -> str | None:
    """The part of ecco_emu a file belongs to; None for the package's own ``__init__``."""
    parts = path.relative_to(ROOT / "ecco_emu").with_suffix("").parts
    return None if parts == ("__init__",) else parts[0]


def sources() -> list[Path]:
    return [path for path in modules("ecco_emu") if part_of(path)]


def by_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def top(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("path", sources(), ids=by_name)
def test_every_module_has_a_layer(path: Path):
    assert part_of(path) in LEVEL, f"{by_name(path)} is in no layer"


@pytest.mark.parametrize("path", sources(), ids=by_name)
def test_imports_go_down_only(path: Path):
    own = part_of(path)
    assert own is not None
    upward = []
    for line, name in imported(path):
        if top(name) != "ecco_emu" or name == "ecco_emu":
            continue
        other = name.split(".")[1]
        if other not in LEVEL or other == own:  # the package itself (__version__), or the same part
            continue
        if LEVEL[other] >= LEVEL[own]:
            upward.append(f"{by_name(path)}:{line} imports {name}")
    assert not upward, "\n".join(upward)


@pytest.mark.parametrize("path", sources(), ids=by_name)
def test_only_the_yolo_trainer_imports_torch(path: Path):
    heavy = [f"{by_name(path)}:{line} {name}" for line, name in imported(path) if top(name) in HEAVY]
    assert by_name(path).startswith(TORCH_LIVES_IN) or not heavy, "\n".join(heavy)


def pure() -> list[Path]:
    return [path for path in sources() if part_of(path) in SANS_IO and not by_name(path).startswith(ADAPTER)]


@pytest.mark.parametrize("path", pure(), ids=by_name)
def test_pure_logic_touches_no_clock_and_no_socket(path: Path):
    touched = [f"{by_name(path)}:{line} {name}" for line, name in imported(path) if top(name) in IO_MODULES]
    assert not touched, "\n".join(touched)


@pytest.mark.parametrize("path", sources(), ids=by_name)
def test_only_who_builds_labs_imports_netns(path: Path):
    uses = [f"{by_name(path)}:{line} {name}" for line, name in imported(path) if top(name) == "netns"]
    assert part_of(path) in MAY_IMPORT_NETNS or not uses, "\n".join(uses)


@pytest.mark.parametrize("path", modules("netns"), ids=by_name)
def test_netns_stands_alone(path: Path):
    ours = [f"{by_name(path)}:{line} {name}" for line, name in imported(path) if top(name) == "ecco_emu"]
    assert not ours, "\n".join(ours)


def test_the_check_sees_upward_and_relative_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A check that finds nothing proves nothing unless it can find something."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    module = tmp_path / "ecco_emu" / "core" / "bad.py"
    module.parent.mkdir(parents=True)
    module.write_text(
        "def f():\n    from ecco_emu import emulation\n    import torch.nn\n"
        "from ..trainer import x\nfrom . import ids\n"
    )
    assert sorted(imported(module)) == [
        (2, "ecco_emu.emulation"),
        (3, "torch.nn"),
        (4, "ecco_emu.trainer.x"),
        (5, "ecco_emu.core.ids"),
    ]
    with pytest.raises(AssertionError, match=r"bad\.py:2 imports ecco_emu\.emulation"):
        test_imports_go_down_only(module)
    with pytest.raises(AssertionError, match=r"torch\.nn"):
        test_only_the_yolo_trainer_imports_torch(module)
