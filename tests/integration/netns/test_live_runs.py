"""Finding live runs, entering their nodes, and cleaning up after dead ones."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec
import pytest

from ecco_emu.core.errors import ScenarioError
from ecco_emu.emulation.live import runs
from ecco_emu.emulation.plan import plan
from netns import Lab, LabSpec, LinkSpec

pytestmark = pytest.mark.netns


async def test_a_live_run_is_found_entered_and_gone_afterwards(tmp_path: Path):
    run = tmp_path / "20260101T000000Z-x"
    run.mkdir()
    async with Lab(LabSpec(links=(LinkSpec("cam"), LinkSpec("server")))) as lab:
        with runs.announced(run, "x", lab):
            ((path, found),) = runs.under(tmp_path)
            assert (path, found.alive, found.pid) == (run, True, os.getpid())
            assert runs.clean(tmp_path, dry_run=False) == []
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "ecco_emu", "exec", str(run), "cam", "--", "ip", "-4", "-o", "addr", "show", "eth0"),
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await process.communicate()
            assert process.returncode == 0
            assert lab.address("cam").encode() in output
            with pytest.raises(ScenarioError, match=r"no node 'cam9'.*cam, server"):
                runs.execute(run, "cam9", ["true"])
    assert runs.under(tmp_path) == []
    with pytest.raises(ScenarioError, match="no live run"):
        runs.find(run)


def test_what_a_dead_run_left_is_told_and_removed(tmp_path: Path):
    run = tmp_path / "dead"
    run.mkdir()
    left = run / runs.FILE
    left.write_bytes(msgspec.json.encode(runs.LiveRun(os.getpid(), 1, "dead", {})))  # another's number now
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / runs.FILE).write_text("{")
    with pytest.raises(ScenarioError, match="is dead"):
        runs.find(run)
    assert runs.clean(tmp_path, dry_run=True) == [left]
    assert left.exists()
    assert runs.clean(tmp_path, dry_run=False) == [left]
    assert not left.exists()
    assert (tmp_path / "junk" / runs.FILE).exists()


async def test_a_plan_names_every_node_and_needs_no_files():
    lines = await plan(Path("scenarios/quickstart.yaml"))
    text = "\n".join(lines)
    assert "namespace switch: bridge br0" in text
    assert "namespace server" in text
    assert "htb" in text


async def test_a_plan_tells_what_changes_the_network_and_when():
    text = "\n".join(await plan(Path("scenarios/faults/troubled-links.yaml")))
    assert "burst loss" in text
    assert "trace on cam1: from 3 s of 60 s, over and over" in text
    assert "at 8.4s: cam2 up" in text
    assert "at 14s: bottleneck cliff rate=600kbit" in text
    assert "at 20s: cam1 / cam2, server partition" in text
