"""Captures on every engine: what left a node, and what came out at the other end of an impaired link."""

from __future__ import annotations

from netns import Lab, Shape
from tests.integration.netns.traffic import HEADERS_BYTES, arrived, pair, send, two
from tests.integration.pcapng import packets


async def test_packets_are_seen_at_the_sender_and_at_the_receiver(engine, tmp_path):
    uplink = Shape(rate_bps=1e7, delay_s=0.01)
    async with Lab(two(uplink, engine=engine)) as lab:
        await lab.capture("cam", tmp_path / "cam", snap_bytes=64)
        await lab.capture("server", tmp_path / "server", snap_bytes=64)
        sender, receiver = await pair(lab)
        with sender, receiver:
            await send(sender, receiver, 10, size=500)
            await arrived(receiver, 10)
    left, came = packets(tmp_path / "cam"), packets(tmp_path / "server")
    assert [packet.kept for packet in left] == [packet.kept for packet in came]
    assert [packet.length for packet in came] == [500 + HEADERS_BYTES] * 10
    assert all(first.time_ns <= then.time_ns for first, then in zip(left, came, strict=True))
