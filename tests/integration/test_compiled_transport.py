"""The transport compiled by mypyc (`make compiled`) passes the tests that the interpreted one does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("ecco_emu", "netns", "setup.py", "pyproject.toml", "README.md")
TESTS = ("unit/transport", "property/transport", "sim/transport")
DIGEST = """
from ecco_emu.bench.transport.matrix import spanning
from ecco_emu.bench.transport.simulated import simulate
import ecco_emu.transport.connection as connection
print(connection.__file__)
for point in spanning()[:3]:
    for mapping in ("auto", "linear"):
        print(simulate(point.cell(mapping, seed=1, warmup_s=2.0, measure_s=5.0)))
"""

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None or not Path(sysconfig.get_path("include"), "Python.h").exists(),
    reason="needs a C compiler and Python's headers",
)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with its transport compiled, and its tests."""
    copy = tmp_path_factory.mktemp("compiled")
    ignore = shutil.ignore_patterns("*.so", "__pycache__")
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=ignore)
        else:
            shutil.copy(source, copy / name)
    for name in (*TESTS, "fuzz"):
        shutil.copytree(ROOT / "tests" / name, copy / "tests" / name, ignore=ignore)
    for name in ("__init__.py", "conftest.py", "property/__init__.py", "sim/__init__.py"):
        shutil.copy(ROOT / "tests" / name, copy / "tests" / name)
    python(copy, "setup.py", "--quiet", "build_ext", "--inplace", ECCO_EMU_COMPILE="1")
    return copy


def python(directory: Path, *arguments: str, **environment: str) -> str:
    """What a Python started in this directory, whose modules it takes, prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(directory), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_simulations_are_the_same_to_the_bit(compiled: Path) -> None:
    interpreted, fast = (python(where, "-c", DIGEST).split("\n", 1) for where in (ROOT, compiled))
    assert fast[0].endswith(".so")
    assert fast[1] == interpreted[1]


def test_the_transport_tests_pass(compiled: Path) -> None:
    printed = python(
        compiled, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/{name}" for name in TESTS)
    )
    assert " passed" in printed
