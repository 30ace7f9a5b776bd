"""The two things about building that pyproject.toml cannot say.

``profiles/`` and ``scenarios/`` lie at the top of a checkout, where people look for them; a wheel holds them
inside the package. And the transport is compiled with mypyc where ECCO_EMU_COMPILE=1 asks for it: the code is
the same, and two to three times as fast in simulation. What is compiled lies beside its sources, and Python
prefers it: `make pure` before those are changed.
"""

import os
import shutil
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

SHIPPED = ("profiles", "scenarios")
"""Folders of data that ``ecco_emu.scenario.profiles`` finds, in a checkout and in an installed package."""
INTERPRETED = {"__init__.py", "qlog.py"}
"""Where there is nothing to gain."""


class BuildWithData(build_py):
    """Copies the shipped data into the package that is built. An editable install reads it where it lies."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for folder in SHIPPED:
            target = Path(self.build_lib) / "ecco_emu" / folder
            shutil.rmtree(target, ignore_errors=True)  # an earlier build's, whose files may be gone
            shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))


def compiled() -> list[Extension]:
    if os.environ.get("ECCO_EMU_COMPILE") != "1":
        return []
    from mypyc.build import mypycify  # a development dependency, for this alone

    sources = sorted(Path("ecco_emu/transport").rglob("*.py"))
    paths = [str(path) for path in sources if path.name not in INTERPRETED]
    return mypycify(paths, opt_level="3", group_name="ecco_emu.transport.compiled")


setup(ext_modules=compiled(), cmdclass={"build_py": BuildWithData})
