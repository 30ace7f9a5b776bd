"""For every tier: Hypothesis fails no test because the machine was slow; what is tested is the source."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("ecco-emu", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ecco-emu")


def pytest_sessionstart() -> None:
    """A compiled module that is older than its source would be tested in its place."""
    for built in Path("ecco_emu/transport").rglob("*.so"):
        source = built.with_name(built.name.split(".")[0] + ".py")
        if source.exists() and source.stat().st_mtime > built.stat().st_mtime:
            pytest.exit(f"{source} has changed since it was compiled: `make compiled`, or `make pure`", 4)
