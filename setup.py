"""Compiles the transport with mypyc where ECCO_EMU_COMPILE=1 asks for it; all the rest is in pyproject.toml.

The code is the same, and two to three times as fast in simulation. What is compiled lies beside its sources,
and Python prefers it: `make pure` before those are changed.
"""

import os
from pathlib import Path

from setuptools import Extension, setup

INTERPRETED = {"__init__.py", "qlog.py"}
"""Where there is nothing to gain."""


def compiled() -> list[Extension]:
    if os.environ.get("ECCO_EMU_COMPILE") != "1":
        return []
    from mypyc.build import mypycify  # a development dependency, for this alone

    sources = sorted(Path("ecco_emu/transport").rglob("*.py"))
    paths = [str(path) for path in sources if path.name not in INTERPRETED]
    return mypycify(paths, opt_level="3", group_name="ecco_emu.transport.compiled")


setup(ext_modules=compiled())
