"""Captures can be read by other programs, are bounded, and end with the lab."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
import time
from ipaddress import ip_address

import pytest

from ecco_emu.core.errors import HostError
from ecco_emu.emulation.captures import SNAP_BYTES, begin_captures
from ecco_emu.host.clock import RunClock
from netns import Lab, LabError, Shape, SpecError
from tests.integration.netns.traffic import arrived, pair, send, two
from tests.integration.pcapng import INTERFACE, PACKET, SECTION, STATISTICS, blocks, comment, packets

pytestmark = pytest.mark.ecco_netns


async def test_a_capture_has_every_packet_and_others_can_read_it(tmp_path):
    async with Lab(two(Shape(delay_s=0.01))) as lab:
        node = await lab.capture("cam", tmp_path / "cam.pcapng")
        await lab.capture("cam", tmp_path / "port.pcapng", at="port")
        sender, receiver = await pair(lab)
        with sender, receiver:
            await send(sender, receiver, 20, size=500)
            await arrived(receiver, 20)
            await send(receiver, sender, 1)
            await arrived(sender, 1)
    assert (node.packets, node.dropped) == (21, 0)
    assert not any(thread.name.startswith("netns-capture") for thread in threading.enumerate())
    for name in ("cam", "port"):
        path = tmp_path / f"{name}.pcapng"
        kinds = [kind for kind, _ in blocks(path.read_bytes())]
        assert kinds == [SECTION, INTERFACE, *[PACKET] * 21, STATISTICS]
        times = [packet.time_ns for packet in packets(path)]
        assert times == sorted(times)
    if shutil.which("tcpdump"):
        command = ["tcpdump", "-nn", "-r", str(tmp_path / "cam.pcapng")]
        read = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
        assert read.stdout.count("UDP, length 500") == 20


async def test_a_full_file_counts_what_it_leaves_out(tmp_path):
    async with Lab(two()) as lab:
        capture = await lab.capture("cam", tmp_path / "small", max_bytes=4096, snap_bytes=100)
        sender, receiver = await pair(lab)
        with sender, receiver:
            await send(sender, receiver, 100, size=1000)
            await arrived(receiver, 100)
        capture.stop()
    assert 0 < capture.packets < 100
    assert capture.packets + capture.dropped == 100
    assert (tmp_path / "small").stat().st_size < 4096 + 500


async def test_a_file_has_the_packets_lengths_a_comment_and_the_callers_time(tmp_path):
    path = tmp_path / "cam.pcapng"
    async with Lab(two()) as lab:
        await lab.capture("cam", path, snap_bytes=100, comment="half µ", file_time=lambda ns: ns // 2)
        sender, receiver = await pair(lab)
        began = time.time_ns()
        with sender, receiver:
            await send(sender, receiver, 3, size=1000)
            await arrived(receiver, 3)
        ended = time.time_ns()
    assert comment(path) == "half µ"
    assert [(packet.length, len(packet.kept)) for packet in packets(path)] == [(14 + 20 + 8 + 1000, 100)] * 3
    assert all(began // 2 <= packet.time_ns <= ended // 2 for packet in packets(path))


async def test_a_file_can_be_read_while_the_capture_goes_on(tmp_path):
    """So that a process that is killed leaves whole packets."""
    path = tmp_path / "cam.pcapng"
    async with Lab(two()) as lab:
        await lab.capture("cam", path)
        sender, receiver = await pair(lab)
        with sender, receiver:
            await send(sender, receiver, 5)
            await arrived(receiver, 5)
        while len(packets(path)) < 5:  # noqa: ASYNC110 - a file has no event to wait for
            await asyncio.sleep(0.01)


async def test_captures_that_cannot_be(tmp_path):
    async with Lab(two()) as lab:
        with pytest.raises(LabError, match="cannot capture eth0 of cam"):
            await lab.capture("cam", tmp_path / "nowhere" / "x.pcapng")
        with pytest.raises(SpecError, match="no node"):
            await lab.capture("cam9", tmp_path / "x.pcapng")
        with pytest.raises(SpecError, match="64 bytes"):
            await lab.capture("cam", tmp_path / "x.pcapng", snap_bytes=1)


ADDRESS_OF_SOURCE = slice(26, 30)
"""In an Ethernet frame with IPv4."""


@pytest.mark.parametrize(
    "uplink", [Shape(rate_bps=1e7), Shape(rate_bps=1e7, delay_s=0.02)], ids=["veth", "impaired"]
)
async def test_a_runs_captures_are_in_emulated_time(uplink, tmp_path):
    async with Lab(two(uplink)) as lab:
        clock = RunClock(4.0)
        captures = await begin_captures(lab, tmp_path, ["cam", "server"], clock)
        clock.start()
        sender, receiver = await pair(lab)
        with sender, receiver:
            await send(sender, receiver, 10, size=1000)
            await arrived(receiver, 10)
        await captures.stop()
        ended = clock.now()
        assert captures.left_out == 0
        address = ip_address(lab.address("cam")).packed
    left, came = packets(tmp_path / "cam.pcapng"), packets(tmp_path / "server.pcapng")
    for packet in (*left, *came):
        assert (packet.length, len(packet.kept), packet.kept[ADDRESS_OF_SOURCE]) == (
            1042,
            SNAP_BYTES,
            address,
        )
        assert 0 <= packet.time_ns <= ended * 1e9
    assert len(left) == len(came) == 10
    assert "one emulated second lasted 4 s" in comment(tmp_path / "cam.pcapng")


async def test_a_run_that_cannot_capture_says_so(tmp_path):
    async with Lab(two()) as lab:
        with pytest.raises(HostError, match="packets cannot be captured"):
            await begin_captures(lab, tmp_path / "nowhere", ["cam"], RunClock(1.0))
