"""Simulated links and runs need nothing of the host: their tests pass without root too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.ordinary import ORDINARY

pytestmark = pytest.mark.ecco_netns  # so that it is root that gives its rights up

ROOT = Path(__file__).parents[2]
SIMULATED = (
    "tests/sim/links",
    "tests/sim/emulation/test_scripts.py",
    "tests/sim/emulation/test_as_users_do.py",
)


def test_simulated_links_and_runs_need_no_root(tmp_path):
    found = subprocess.run(
        [*ORDINARY, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SIMULATED],
        cwd=ROOT,
        env=os.environ | {"HOME": "/nowhere", "HYPOTHESIS_STORAGE_DIRECTORY": "/nowhere"},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "skipped" not in found.stdout.splitlines()[-1]
