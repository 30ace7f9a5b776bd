"""The wheel and the source distribution, built here, and the package used from the wheel's files alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import ecco_emu

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(
    path.relative_to(ROOT)
    for folder in ("profiles", "scenarios")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
)
NAME = f"ecco_emu-{ecco_emu.__version__}"


def run(*command: str, cwd: Path, pythonpath: Path | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(pythonpath or "")}
    environment.pop("ECCO_EMU_COMPILE", None)
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both distributions, built from a copy because a build writes beside its sources."""
    copy, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("ecco_emu", "netns", "profiles", "scenarios"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in (
        "pyproject.toml",
        "setup.py",
        "MANIFEST.in",
        "README.md",
        "LICENSE",
        "CITATION.cff",
        "CHANGELOG.md",
    ):
        shutil.copy(ROOT / name, copy)
    for build in ("build_sdist", "build_wheel"):
        run("-c", f"from setuptools import build_meta; build_meta.{build}({str(built)!r})", cwd=copy)
    return built


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files, as an installation lays them."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(dist / f"{NAME}-py3-none-any.whl") as wheel:
        wheel.extractall(folder)
    return folder


def test_the_shipped_files_are_in_both(dist: Path, installed: Path):
    assert [path for path in SHIPPED if not (installed / "ecco_emu" / path).is_file()] == []
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        names = set(archive.getnames())
    assert [path for path in SHIPPED if f"{NAME}/{path}" not in names] == []
    assert {f"{NAME}/{name}" for name in ("CITATION.cff", "CHANGELOG.md", "LICENSE")} <= names
    assert not [path for path in installed.rglob("*") if path.suffix in (".so", ".pyc")]


def test_the_wheel_works_outside_the_repository(installed: Path, tmp_path: Path):
    code = "import ecco_emu; print(ecco_emu.__file__)"
    assert run("-c", code, cwd=tmp_path, pythonpath=installed).strip() == str(
        installed / "ecco_emu" / "__init__.py"
    )
    verbs = "-m", "ecco_emu"
    shipped = [
        str(path.relative_to("scenarios").with_suffix("")) for path in SHIPPED if path.parts[0] == "scenarios"
    ]
    assert {"quickstart", "faults/uplink-flap"} <= set(shipped)
    told = run(*verbs, "check", *shipped, cwd=tmp_path, pythonpath=installed)
    assert told == "".join(f"{name}: ok\n" for name in shipped)
    assert "harbour1" in run(*verbs, "plan", "quickstart", cwd=tmp_path, pythonpath=installed)
    assert (
        run(*verbs, "--version", cwd=tmp_path, pythonpath=installed) == f"ecco-emu {ecco_emu.__version__}\n"
    )
