"""Captures can be read by other programs, are bounded, and end with the lab."""

from __future__ import annotations

import asyncio
import shutil
import struct
import subprocess
import threading

import pytest

from netns import Lab, LabError, Shape, SpecError
from tests.integration.netns.traffic import arrived, pair, send, two

pytestmark = pytest.mark.netns


def blocks(data: bytes) -> list[tuple[int, bytes]]:
    found, offset = [], 0
    while offset < len(data):
        kind, length = struct.unpack_from("=II", data, offset)
        assert struct.unpack_from("=I", data, offset + length - 4) == (length,)
        found.append((kind, data[offset + 8 : offset + length - 4]))
        offset += length
    return found


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
        found = blocks((tmp_path / f"{name}.pcapng").read_bytes())
        assert [kind for kind, _ in found] == [0x0A0D0D0A, 1, *[6] * 21, 5]
        times = [struct.unpack_from("=III", body)[1:] for kind, body in found if kind == 6]
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


async def test_captures_that_cannot_be(tmp_path):
    async with Lab(two()) as lab:
        with pytest.raises(LabError, match="cannot capture eth0 of cam"):
            await lab.capture("cam", tmp_path / "nowhere" / "x.pcapng")
        with pytest.raises(SpecError, match="no node"):
            await lab.capture("cam9", tmp_path / "x.pcapng")
        with pytest.raises(SpecError, match="64 bytes"):
            await lab.capture("cam", tmp_path / "x.pcapng", snap_bytes=1)
