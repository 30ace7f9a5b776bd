"""The transport's adapter on simulated links: real connections, asyncio and all, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ecco_emu.transport import Listener, MessageReceived, Peer, TransportConfig, VideoReceived, connect
from ecco_emu.transport.adapter.callback_port import CallbackPort
from ecco_emu.transport.adapter.port import POLL_S, RECEIVE_BATCH
from netns import Down, Lab, LabSpec, LinkSpec, Shape

TOKEN = b"secret of the camera"
CONFIG = TransportConfig()


class LoopClock:
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall_duration(self, emulated_s: float) -> float:
        return emulated_s


def two(egress: Shape = Shape(), ingress: Shape = Shape(), **options) -> LabSpec:  # noqa: B008 - frozen
    links = (LinkSpec("cam", egress=egress, ingress=ingress), LinkSpec("server"))
    return LabSpec(links=links, engine="simulated", **options)


@asynccontextmanager
async def connected(lab: Lab) -> AsyncIterator[tuple[Peer, Peer]]:
    listening = await lab.datagram_port("server", 4711)
    listener = Listener(listening, {"cam": TOKEN}, CONFIG, LoopClock())
    camera = await connect(
        await lab.datagram_port("cam"),
        listening.address,
        name="cam",
        token=TOKEN,
        config=CONFIG,
        clock=LoopClock(),
    )
    yield camera, await listener.accept()
    await camera.close()
    await listener.close()


async def test_messages_cross_links_without_any_delay():
    """Whose round trips take no time at all."""
    async with Lab(two()) as lab, connected(lab) as (camera, server):
        camera.send(1, bytes(300_000))
        assert await server.receive() == MessageReceived(1, bytes(300_000))
        server.send(1, bytes(300_000))
        assert await camera.receive() == MessageReceived(1, bytes(300_000))


async def test_datagrams_fit_a_link_with_a_small_mtu():
    """800 bytes of IP are 772 of UDP: the size below that is 768."""
    slow = Shape(rate_bps=8e6, delay_s=0.01)
    async with Lab(two(slow, Shape(delay_s=0.01), mtu_bytes=800)) as lab, connected(lab) as (camera, server):
        for peer, other in ((camera, server), (server, camera)):
            peer.send(1, bytes(100_000))
            assert await other.receive() == MessageReceived(1, bytes(100_000))
            assert (peer.stats.mtu_reductions, peer.datagram_bytes) == (1, 768)


async def test_a_transfer_outlives_a_cut_and_fills_the_link():
    rate_bps = 4e6
    slow = Shape(rate_bps=rate_bps, queue_s=0.2, delay_s=0.01)
    async with Lab(two(slow, Shape(delay_s=0.01))) as lab, connected(lab) as (camera, server):
        began = lab.now()
        camera.send(1, bytes(2_000_000))
        cut = lab.schedule(Down("cam"), in_s=1.0, for_s=0.5)
        assert await server.receive() == MessageReceived(1, bytes(2_000_000))
        took_s = lab.now() - began
        counters = (await lab.counters())["cam"].egress
    assert [change.applied_s - change.requested_s for change in cut.log] == [0.0, 0.0]
    least_s = 2_000_000 * 8 / rate_bps + 0.5
    assert least_s < took_s < 1.5 * least_s
    assert counters.drops > 0


async def test_video_comes_in_time_or_is_told_lost():
    shape = Shape(rate_bps=2e6, queue_s=0.2, delay_s=0.01, loss=0.02)
    outcomes, received = [], []
    async with Lab(two(shape, Shape(delay_s=0.01, loss=0.02))) as lab, connected(lab) as (camera, server):

        async def receive():
            while True:
                delivery = await server.receive()
                assert isinstance(delivery, VideoReceived)
                received.append(delivery.id)

        receiving = asyncio.create_task(receive())
        for _ in range(20):
            camera.send_video(bytes(20_000), lab.now() + 1.0, outcomes.append)
            await asyncio.sleep(0.2)
        await asyncio.sleep(3.0)
        receiving.cancel()
    assert len(outcomes) == 20
    assert sorted(received) == sorted(told.id for told in outcomes if told.outcome != "lost")
    assert len(received) > 15


class FakeEndpoint:
    coalesce_s = 0.0

    def __init__(self) -> None:
        self.on_datagram, self.on_batch = None, None

    def send(self, data, address):
        raise OSError("the link is gone")


async def test_a_busy_endpoint_is_heard_in_intervals_until_it_calms_down():
    batches: list[int] = []
    endpoint = FakeEndpoint()
    port = CallbackPort(endpoint, lambda datagram, address: batches.append(0))
    port.on_batch = lambda: batches.append(1)

    def arrive(count: int) -> None:
        for _ in range(count):
            endpoint.on_datagram(b"x", ("10.77.0.1", 1))
        endpoint.on_batch()

    for _ in range(7):
        arrive(1)
    assert endpoint.coalesce_s == 0.0
    arrive(1)
    assert endpoint.coalesce_s == POLL_S
    arrive(2)
    assert endpoint.coalesce_s == POLL_S
    arrive(1)
    assert endpoint.coalesce_s == 0.0
    batches.clear()
    arrive(2 * RECEIVE_BATCH + 1)
    assert [index for index, end in enumerate(batches) if end] == [64, 129, 131]
    port.close()
    arrive(1)
    assert len(batches) == 132


async def test_a_datagram_that_cannot_be_sent_is_a_loss():
    port = CallbackPort(FakeEndpoint(), lambda datagram, address: None)
    refused = []
    port.on_refused = lambda size, address: refused.append(size)
    port.send(b"x", ("10.77.0.2", 1))
    assert (port.send_errors, refused, port.congested) == (1, [], False)
