"""The captures of a simulated run. tests/integration/netns/test_capture.py has those of real packets."""

from __future__ import annotations

import asyncio

import pytest

from ecco_emu.emulation.captures import SNAP_BYTES, begin_captures
from ecco_emu.host.clock import RunClock
from ecco_emu.host.virtual_time import VirtualLoop
from netns import Lab, LabSpec, LinkSpec, Shape
from tests.integration.pcapng import packets


def test_a_simulated_runs_captures_have_the_runs_times(tmp_path):
    async def run() -> int:
        uplink = Shape(rate_bps=1e7, delay_s=0.02)
        spec = LabSpec(links=(LinkSpec("cam", egress=uplink), LinkSpec("server")), engine="simulated")
        async with Lab(spec) as lab:
            await asyncio.sleep(5.0)  # such as for loading a model
            clock = RunClock(1.0, asyncio.get_running_loop().time)
            captures = await begin_captures(lab, tmp_path, ["cam", "server"], clock)
            camera, server = await lab.datagram_port("cam"), await lab.datagram_port("server")
            for _ in range(3):
                await asyncio.sleep(1.0)
                camera.send(bytes(500), server.address)
            await asyncio.sleep(1.0)
            await captures.stop()
            return captures.left_out

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(run()) == 0
    left, came = packets(tmp_path / "cam.pcapng"), packets(tmp_path / "server.pcapng")
    assert [packet.time_ns / 1e9 for packet in left] == pytest.approx([1.0, 2.0, 3.0])
    assert [packet.time_ns / 1e9 for packet in came] == pytest.approx([1.02, 2.02, 3.02])
    assert [(packet.length, len(packet.kept)) for packet in came] == [(542, SNAP_BYTES)] * 3
