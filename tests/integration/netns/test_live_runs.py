"""Entering the nodes of live runs, and plans."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from ecco_emu.core.errors import HostError, ScenarioError
from ecco_emu.emulation.live import runs
from ecco_emu.emulation.plan import plan
from netns import Lab, LabSpec, LinkSpec

pytestmark = pytest.mark.ecco_netns

LOOK = "cat /sys/class/net/eth0/address; getent hosts server; cat /etc/hosts; ls /sys/fs/cgroup; ip -4 addr"
HOSTS = Path("/etc/hosts").read_text()
CGROUPS = os.listdir("/sys/fs/cgroup") if os.path.isdir("/sys/fs/cgroup") else []


async def test_a_node_is_entered_with_its_own_sys_and_the_names_of_nodes(tmp_path: Path):
    with runs.announced(tmp_path, name="x", policy="ecco", duration_s=60) as announcement:
        async with Lab(LabSpec(links=(LinkSpec("cam"), LinkSpec("server")))) as lab:
            announcement.has_network(lab)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "ecco_emu", "exec", str(tmp_path), "cam", "--", "sh", "-c", LOOK),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            output, errors = (part.decode() for part in await process.communicate())
            assert (process.returncode, errors) == (0, "")
            mac, name, *_ = output.splitlines()
            assert mac == lab.plan.links[0].mac
            assert name.split() == [lab.address("server"), "server"]
            assert HOSTS in output
            assert lab.address("cam") in output
            assert all(name in output for name in CGROUPS)
            with pytest.raises(ScenarioError, match=r"no node 'cam9'.*cam, server"):
                runs.execute(tmp_path, "cam9", ["true"])
    assert await asyncio.to_thread(Path("/etc/hosts").read_text) == HOSTS


async def test_a_namespace_of_another_run_is_not_entered(tmp_path: Path):
    """As from outside the run's container, where the path through /proc is another process's."""
    other = runs.LiveNode("10.0.0.1", "/proc/self/ns/net", 1)
    run = runs.LiveRun(1, "x", "ecco", 60, {"cam": other})
    announcement = runs.Announcement(tmp_path, run)
    with pytest.raises(HostError, match="is another namespace here"):
        runs.execute(tmp_path, "cam", ["true"])
    announcement.withdraw()


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
