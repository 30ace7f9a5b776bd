"""A test of a simulated run as users write it, with the plug-in, and what such a test may import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIO = Path(__file__).with_name("two.yaml")

_RUN = """
import asyncio, sys
from ecco_emu import Emulation

async def run():
    async with Emulation.from_file(sys.argv[1], out=sys.argv[2]) as emu:
        await emu.link("cam1").down(duration=0.5)
        await emu.until(t=1)

asyncio.run(run())
print(*sys.modules)
"""
SLOW = {"torch", "scipy", "river", "pyroute2", "matplotlib", "av", "cv2"}
"""Packages that take a large part of a second or more to import, and that such a run does not need."""


@pytest.mark.ecco_simulated
async def test_a_link_fault(emulate):
    emu = await emulate(SCENARIO)
    await emu.until(lambda s: s.camera("cam1").segments_delivered > 0, timeout=10)
    await emu.link("cam1").down(duration=1)
    await emu.until(t=emu.now() + 3)
    await emu.until(lambda s: s.camera("cam1").segments_delivered > 3, timeout=10)
    assert emu.summary().camera("cam2").segments_delivered > 0


def test_a_run_imports_nothing_slow_before_it_needs_it(tmp_path):
    found = subprocess.run(
        [sys.executable, "-c", _RUN, str(SCENARIO), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {name.partition(".")[0] for name in found.stdout.split()}
    assert not imported & SLOW
