"""The project's promises about itself: what is packaged, what is typed, who may print."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from ruamel.yaml import YAML

import ecco_emu

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
SOURCES = sorted([*(ROOT / "ecco_emu").rglob("*.py"), *(ROOT / "netns").rglob("*.py")])
OWN = {"ecco_emu", "netns"}
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "ultralytics",  # which needs it; naming OpenCV here would clash with its headless build
    "direct": "panda3d",
    "markupsafe": "jinja2",  # whose type for safe text it is
    "ruamel": "ruamel.yaml",
}
"""Where an import's name is not its distribution's."""
TEST_TOOLS = {"pytest", "pytest_asyncio"}
"""What the pytest plugin alone may import: whoever loads it has them."""


def by_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


OPTIONAL = {
    "ecco_emu/bench/transport/endpoints.py": "bench",
    **{by_name(path): "yolo" for path in SOURCES if path.parent == ROOT / "ecco_emu" / "trainer" / "yolo"},
}
"""Files that may import libraries of an extra, and the extra."""


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@pytest.mark.parametrize("path", [path for path in SOURCES if "cli" not in path.parts], ids=by_name)
def test_only_the_command_line_prints(path: Path):
    prints = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not prints, f"{by_name(path)} prints in lines {prints}"


@pytest.mark.parametrize("path", [path for path in SOURCES if path.stat().st_size], ids=by_name)
def test_every_module_says_what_it_is_for(path: Path):
    assert ast.get_docstring(tree(path)), f"{by_name(path)} has no docstring"


@pytest.mark.parametrize("path", SOURCES, ids=by_name)
def test_nothing_is_unpickled_or_evaluated(path: Path):
    names = {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
    modules = {
        alias.name for node in ast.walk(tree(path)) if isinstance(node, ast.Import) for alias in node.names
    }
    assert not names & {"eval", "exec"}, f"{by_name(path)} evaluates text"
    assert not modules & {"pickle", "marshal", "shelve", "dill"}, f"{by_name(path)} imports a pickler"


@pytest.mark.parametrize("path", SOURCES, ids=by_name)
def test_no_paths_of_one_machine(path: Path):
    found = re.findall(r"['\"](?:/home/|/root/|/work/|/Users/)[^'\"]*", path.read_text(encoding="utf-8"))
    assert not found


LONGEST = 450
"""Lines of a module; beyond it, two rooms are easier to live in."""
MAY_BE_LONGER = {"ecco_emu/transport/connection.py"}
"""A façade of small methods over the parts of one connection."""


@pytest.mark.parametrize("path", SOURCES, ids=by_name)
def test_no_module_is_too_long(path: Path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST or by_name(path) in MAY_BE_LONGER, f"{by_name(path)} has {lines} lines"


def public_types(path: Path) -> list[str]:
    """Classes of a module, and aliases of types: capitalised names that are assigned something."""
    names = []
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [name for name in names if name[0].isupper() and not name.isupper()]


def test_no_two_public_types_have_one_name():
    homes: dict[str, list[str]] = {}
    for path in SOURCES:
        for name in public_types(path):
            homes.setdefault(name, []).append(by_name(path))
    twins = {name: paths for name, paths in homes.items() if len(paths) > 1}
    # a type variable has no meaning of its own, and T is what every reader calls it
    assert {name: paths for name, paths in twins.items() if len(name) > 1} == {}


def requirements() -> list[Requirement]:
    """Of others: an extra may name another one of the project's own."""
    extras = PROJECT["optional-dependencies"].values()
    texts = [*PROJECT["dependencies"], *(item for extra in extras for item in extra)]
    return [one for one in map(Requirement, texts) if one.name != PROJECT["name"]]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_dependency_has_a_least_and_a_most(requirement: Requirement):
    operators = {item.operator for item in requirement.specifier}
    assert ">=" in operators
    assert "<" in operators


def third_party(paths: list[Path]) -> set[str]:
    names = set()
    for path in paths:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - OWN - set(sys.stdlib_module_names)


def test_everything_imported_is_a_dependency():
    declared = {Requirement(text).name.lower() for text in PROJECT["dependencies"]}
    elsewhere = {"ecco_emu/pytest_plugin.py", *OPTIONAL}
    foreign = third_party([path for path in SOURCES if by_name(path) not in elsewhere])
    foreign |= third_party([ROOT / "ecco_emu" / "pytest_plugin.py"]) - TEST_TOOLS
    missing = {name for name in foreign if DISTRIBUTIONS.get(name, name).lower() not in declared}
    assert not missing, f"imported but not declared in pyproject.toml: {sorted(missing)}"


@pytest.mark.parametrize("name", OPTIONAL)
def test_everything_optional_is_in_its_extra(name: str):
    extra = PROJECT["optional-dependencies"][OPTIONAL[name]]
    declared = {Requirement(text).name.lower() for text in [*PROJECT["dependencies"], *extra]}
    assert {DISTRIBUTIONS.get(one, one).lower() for one in third_party([ROOT / name])} <= declared


def test_the_version_is_the_changelogs():
    changelog = ROOT / "CHANGELOG.md"
    if not changelog.exists():
        pytest.skip("no CHANGELOG.md yet")
    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)", changelog.read_text(encoding="utf-8"), re.MULTILINE)
    assert versions, "CHANGELOG.md names no version"
    assert versions[0] == ecco_emu.__version__


def test_the_citation_is_valid_and_of_this_version():
    """Citation File Format 1.2.0, as far as it is used here."""
    cited = YAML(typ="safe", pure=True).load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == ecco_emu.__version__
    assert cited["license"] == PROJECT["license"]
    assert {"message", "title", "authors"} <= cited.keys()
    for work in [cited, *cited["references"]]:
        assert work["type"] in ("software", "article")
        assert isinstance(work["title"], str)
        assert work["authors"]
        for author in work["authors"]:  # an entity, or a person
            assert author.keys() == {"name"} or author.keys() == {"given-names", "family-names"}


def test_the_readmes_links_lead_to_files():
    """The pages under docs/ have theirs checked by `make docs`, which does not read the README."""
    targets = re.findall(r"\]\(([^)#\s]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    inside = [target for target in targets if "://" not in target]
    assert inside, "README.md has no link into the project"
    assert not [target for target in inside if not (ROOT / target).exists()]


@pytest.mark.parametrize("package", sorted(OWN))
def test_types_are_shipped(package: str):
    assert (ROOT / package / "py.typed").exists()
    assert "py.typed" in PYPROJECT["tool"]["setuptools"]["package-data"][package]


def test_types_are_strict_and_tests_are_strict():
    assert PYPROJECT["tool"]["mypy"]["strict"] is True
    options = PYPROJECT["tool"]["pytest"]["ini_options"]
    assert {"--strict-markers", "--strict-config"} <= set(options["addopts"])
    assert options["filterwarnings"][0] == "error"
