"""The transport on real links: a small MTU."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from ecco_emu.transport import Listener, MessageReceived, TransportConfig, connect
from netns import Lab, LabSpec, LinkSpec, Shape

pytestmark = [pytest.mark.ecco_netns, pytest.mark.timeout(120)]

TOKEN = b"a secret of tests"
CONFIG = TransportConfig(alpha=5.0)


class WallClock:
    def now(self) -> float:
        return time.monotonic()

    def wall_duration(self, emulated_s: float) -> float:
        return emulated_s


def two(mtu_bytes: int = 1500) -> LabSpec:
    camera = LinkSpec("cam", egress=Shape(rate_bps=8e6, delay_s=0.01), ingress=Shape(delay_s=0.01))
    return LabSpec(links=(camera, LinkSpec("server")), mtu_bytes=mtu_bytes, engine="auto")


async def test_datagrams_fit_a_link_with_a_small_mtu() -> None:
    """800 bytes of IP are 772 of UDP: the size below that is 768."""
    async with Lab(two(mtu_bytes=800)) as lab:
        with ExitStack() as stack:
            listening = stack.enter_context(await lab.udp_socket("server", port=4711))
            sock = stack.enter_context(await lab.udp_socket("cam"))
            listener = Listener(listening, {"cam": TOKEN}, CONFIG, WallClock())
            camera = await connect(
                sock, listening.getsockname(), name="cam", token=TOKEN, config=CONFIG, clock=WallClock()
            )
            server = await listener.accept()
            for peer, other in ((camera, server), (server, camera)):
                peer.send(1, bytes(500_000))
                assert await other.receive() == MessageReceived(1, bytes(500_000))
                assert peer.stats.mtu_reductions == 1
                assert peer.datagram_bytes == 768
            await camera.close()
            await listener.close()
