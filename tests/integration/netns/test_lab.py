"""The lab on this host's kernel: what it promises about rates, delays, losses, cuts and counters."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import statistics
import struct
import time

import pytest
from scipy import stats

from netns import CapabilityError, Lab, LabError, LabSpec, LinkSpec, RelayDiedError, Shape, SpecError, probe

pytestmark = pytest.mark.netns

SO_TIMESTAMPNS = 35
HEADERS_BYTES = 14 + 20 + 8


UNSHAPED = Shape()


def two(egress: Shape = UNSHAPED, ingress: Shape = UNSHAPED, **options) -> LabSpec:
    return LabSpec(links=(LinkSpec("cam", egress=egress, ingress=ingress), LinkSpec("server")), **options)


async def pair(lab: Lab) -> tuple[socket.socket, socket.socket]:
    """A socket on the camera and one on the server, which stamps what it receives."""
    sender, receiver = await lab.udp_socket("cam"), await lab.udp_socket("server")
    receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return sender, receiver


def drain(receiver: socket.socket) -> list[tuple[float, bytes]]:
    """Everything that has arrived, with the kernel's time of arrival in seconds."""
    found = []
    while True:
        try:
            data, ancillary, _, _ = receiver.recvmsg(2048, 256)
        except BlockingIOError:
            return found
        seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
        found.append((seconds + nanoseconds * 1e-9, data))


async def arrived(receiver: socket.socket, count: int, timeout_s: float = 5.0) -> list[tuple[float, bytes]]:
    """Waits for ``count`` packets; returns fewer if they do not come."""
    found = drain(receiver)
    deadline = time.monotonic() + timeout_s
    while len(found) < count and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
        found += drain(receiver)
    return found


async def flooded_rate_bps(sender: socket.socket, receiver: socket.socket, offered_bps: float, for_s: float):
    """The rate of Ethernet frames at the receiver while the sender offers more, without the first burst."""
    payload = bytes(1200)
    gap_s = (len(payload) + HEADERS_BYTES) * 8 / offered_bps
    found = []
    start = time.monotonic()
    sent = 0
    while (elapsed := time.monotonic() - start) < for_s:
        while sent * gap_s < elapsed:
            sender.sendto(payload, receiver.getsockname())
            sent += 1
        found += drain(receiver)
        await asyncio.sleep(0.002)
    times = [at for at, _ in found if at - found[0][0] > 0.3]
    return (len(times) - 1) * (len(payload) + HEADERS_BYTES) * 8 / (times[-1] - times[0])


@pytest.mark.parametrize("rate_bps", [200e3, 2e6, 10e6])
async def test_the_rate_is_right_in_both_places(rate_bps):
    async with Lab(two(egress=Shape(rate_bps=rate_bps, queue_s=0.2))) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            measured = await flooded_rate_bps(sender, receiver, 1.5 * rate_bps, 3.0)
        counters = await lab.counters()
    assert measured == pytest.approx(rate_bps, rel=0.02)
    assert counters["cam"].egress.drops > 0


async def test_a_shared_bottleneck_is_the_servers_ingress():
    spec = LabSpec(links=(LinkSpec("cam"), LinkSpec("server", ingress=Shape(rate_bps=4e6, queue_s=0.1))))
    async with Lab(spec) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            measured = await flooded_rate_bps(sender, receiver, 6e6, 2.0)
        counters = await lab.counters()
    assert measured == pytest.approx(4e6, rel=0.02)
    assert counters["server"].ingress.drops > 0
    assert counters["cam"].egress.drops == 0


async def test_delay_order_and_round_trip():
    shape = Shape(delay_s=0.02)
    async with Lab(two(egress=shape, ingress=shape)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            sent = []
            for number in range(100):
                sent.append(time.time())
                sender.sendto(struct.pack("=I", number), receiver.getsockname())
                await asyncio.sleep(0.005)
            found = await arrived(receiver, 100)
            assert [struct.unpack("=I", data)[0] for _, data in found] == list(range(100))
            delays = [at - sent[number] for number, (at, _) in enumerate(found)]
            assert statistics.median(delays) == pytest.approx(0.02, abs=0.001)
            assert min(delays) >= 0.0199
            assert await round_trip_s(sender, receiver) == pytest.approx(0.04, abs=0.002)


async def round_trip_s(sender: socket.socket, receiver: socket.socket) -> float:
    loop = asyncio.get_running_loop()
    times = []
    for _ in range(30):
        start = time.perf_counter()
        sender.sendto(b"ping", receiver.getsockname())
        data, origin = await asyncio.wait_for(loop.sock_recvfrom(receiver, 100), 2)
        receiver.sendto(data, origin)
        await asyncio.wait_for(loop.sock_recv(sender, 100), 2)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


async def test_jitter_spreads_but_keeps_order():
    async with Lab(two(egress=Shape(delay_s=0.03, jitter_s=0.02))) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            sent = []
            for number in range(100):
                sent.append(time.time())
                sender.sendto(struct.pack("=I", number), receiver.getsockname())
                await asyncio.sleep(0.002)
            found = await arrived(receiver, 100)
    assert [struct.unpack("=I", data)[0] for _, data in found] == list(range(100))
    delays = [at - sent[number] for number, (at, _) in enumerate(found)]
    assert min(delays) >= 0.0099
    assert max(delays) - min(delays) > 0.01


async def send_in_bursts(sender: socket.socket, to: tuple[str, int], count: int) -> None:
    for number in range(count):
        sender.sendto(struct.pack("=I", number), to)
        if number % 50 == 49:
            await asyncio.sleep(0.003)


async def test_loss_is_binomial_and_counted():
    count, loss = 3000, 0.1
    async with Lab(two(egress=Shape(loss=loss), seed=3)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            await send_in_bursts(sender, receiver.getsockname(), count)
            await asyncio.sleep(0.1)
            found = await arrived(receiver, count, timeout_s=0.2)
        counters = await lab.counters()
    low, high = stats.binom.interval(0.999, count, loss)
    assert low <= count - len(found) <= high
    assert counters["cam"].egress.drops == count - len(found)
    assert counters["cam"].egress.packets == len(found)


async def test_the_same_seed_loses_the_same_packets():
    async def survivors(seed: int) -> list[int]:
        async with Lab(two(egress=Shape(loss=0.3), seed=seed)) as lab:
            sender, receiver = await pair(lab)
            with sender, receiver:
                await send_in_bursts(sender, receiver.getsockname(), 200)
                await asyncio.sleep(0.05)
                return [struct.unpack("=I", data)[0] for _, data in drain(receiver)]

    first = await survivors(5)
    assert first == await survivors(5)
    assert first != await survivors(6)


@pytest.mark.parametrize("delay_s", [0.0, 0.002], ids=["veth", "relay"])
async def test_down_and_up_leave_sockets_working(delay_s):
    shape = Shape(rate_bps=5e6, delay_s=delay_s)
    async with Lab(two(egress=shape)) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            for _ in range(3):
                sender.sendto(b"up", receiver.getsockname())
                assert len(await arrived(receiver, 1)) == 1
                await lab.link("cam").down()
                sender.sendto(b"down", receiver.getsockname())
                receiver.sendto(b"down", sender.getsockname())
                assert await arrived(receiver, 1, timeout_s=0.05) == []
                assert drain_plain(sender) == []
                await lab.link("cam").up()
                receiver.sendto(b"back", sender.getsockname())
                loop = asyncio.get_running_loop()
                assert await asyncio.wait_for(loop.sock_recv(sender, 100), 2) == b"back"


async def test_a_cut_link_loses_what_was_under_way_and_counts_it():
    # 20 packets at 80 kbit/s take 2 s, so most are in the queue of the server's ingress when it is cut
    slow = Shape(rate_bps=80e3, queue_s=10.0, delay_s=0.05)
    spec = LabSpec(links=(LinkSpec("cam"), LinkSpec("server", ingress=slow)))
    async with Lab(spec) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            for _ in range(20):
                sender.sendto(bytes(958), receiver.getsockname())
            got = len(await arrived(receiver, 2))
            await lab.link("server").down()
            got += len(drain(receiver))
            assert await arrived(receiver, 1, timeout_s=0.3) == []
            receiver.sendto(bytes(958), sender.getsockname())
            await asyncio.sleep(0.1)
            counters = (await lab.counters())["server"]
            assert (counters.egress.packets, counters.egress.drops) == (0, 1)
            assert (counters.ingress.packets, counters.ingress.drops) == (got, 20 - got)
            assert counters.ingress.backlog_bytes == 0
            await lab.link("server").up()
            await lab.link("server").up()
            receiver.sendto(b"back", sender.getsockname())
            loop = asyncio.get_running_loop()
            assert await asyncio.wait_for(loop.sock_recv(sender, 100), 2) == b"back"
            sender.sendto(b"again", receiver.getsockname())
            assert len(await arrived(receiver, 1)) == 1
            counters = (await lab.counters())["server"]
            assert (counters.egress.packets, counters.egress.drops) == (1, 1)


def drain_plain(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(2048))
        except BlockingIOError:
            return found


async def test_changes_take_effect_at_once():
    async with Lab(two(egress=Shape(rate_bps=2e6, queue_s=0.1, delay_s=0.001))) as lab:
        link = lab.link("cam")
        sender, receiver = await pair(lab)
        with sender, receiver:
            await link.set(direction="egress", rate_bps=5e6)
            assert await flooded_rate_bps(sender, receiver, 8e6, 1.5) == pytest.approx(5e6, rel=0.03)
            await link.set(direction="both", rate_bps=None, delay_s=0.03)
            assert link.shape("egress") == Shape(queue_s=0.1, delay_s=0.03)
            await asyncio.sleep(0.3)
            drain(receiver)
            assert await round_trip_s(sender, receiver) == pytest.approx(0.06, abs=0.003)
            await link.set(direction="egress", loss=1.0)
            sender.sendto(b"lost", receiver.getsockname())
            assert await arrived(receiver, 1, timeout_s=0.1) == []


async def test_counters_are_exact_for_packets_that_arrive():
    async with Lab(two(egress=Shape(rate_bps=1e7, delay_s=0.001))) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            for _ in range(10):
                sender.sendto(bytes(958), receiver.getsockname())
            assert len(await arrived(receiver, 10)) == 10
            counters = await lab.counters()
    assert (counters["cam"].egress.packets, counters["cam"].egress.bytes) == (10, 10_000)
    assert (counters["server"].ingress.packets, counters["server"].ingress.bytes) == (10, 10_000)
    assert counters["cam"].egress.drops == 0
    assert counters["cam"].egress.backlog_bytes == 0
    assert counters["cam"].ingress.packets == 0


async def test_packets_under_way_are_backlog():
    async with Lab(two(egress=Shape(delay_s=5.0))) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            sender.sendto(bytes(958), receiver.getsockname())
            await asyncio.sleep(0.05)
            counters = await lab.counters()
    assert counters["cam"].egress.backlog_bytes == 1000
    assert counters["cam"].egress.packets == 0


async def test_large_packets_and_checksums_survive_the_relay():
    async with Lab(two(egress=Shape(delay_s=0.001), ingress=Shape(delay_s=0.001))) as lab:
        sender, receiver = await pair(lab)
        with sender, receiver:
            message = bytes(range(256)) * 31  # six fragments
            sender.sendto(message, receiver.getsockname())
            loop = asyncio.get_running_loop()
            data, origin = await asyncio.wait_for(loop.sock_recvfrom(receiver, 65536), 2)
            assert data == message
            receiver.sendto(data, origin)
            assert await asyncio.wait_for(loop.sock_recv(sender, 65536), 2) == message


async def test_the_network_is_silent_when_nobody_speaks():
    async with Lab(two(egress=Shape(delay_s=0.001))) as lab:
        await asyncio.sleep(0.5)
        counters = await lab.counters()
    assert {c.egress.packets + c.ingress.packets for c in counters.values()} == {0}


async def test_a_dead_relay_is_an_error_that_says_so():
    async with Lab(two(egress=Shape(delay_s=0.001))) as lab:
        if lab.engine != "relay":
            pytest.skip("the kernel engine has no relay")
        os.kill(lab.relay_pid, signal.SIGKILL)
        with pytest.raises(RelayDiedError, match="killed by SIGKILL"):
            await lab.counters()


async def test_misuse_is_told_apart():
    lab = Lab(two())
    with pytest.raises(LabError, match="async with"):
        await lab.counters()
    async with lab:
        with pytest.raises(SpecError, match=r"no node 'cam9'.*cam, server"):
            lab.link("cam9")
        with pytest.raises(SpecError, match="rate_bps"):
            await lab.link("cam").set(rate_bps=-1)
        if lab.engine == "relay":
            with pytest.raises(CapabilityError, match="live_impairments"):
                await lab.link("cam").set(loss=0.1)
        assert lab.relay_pid is None


async def test_nodes_see_only_their_own_devices():
    async with Lab(two()) as lab:
        process = await asyncio.create_subprocess_exec(
            "nsenter",
            f"--net={lab.namespace_path('cam')}",
            "cat",
            "/proc/self/net/dev",
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    names = {line.split(":")[0].strip() for line in output.decode().splitlines()[2:]}
    assert "eth0" in names
    assert not any(name.startswith(("p0", "p1", "br0")) for name in names)


async def test_probe_is_quick_and_consistent_with_a_lab():
    start = time.perf_counter()
    capabilities = await probe()
    assert time.perf_counter() - start < 1.0
    assert capabilities.privileged
    assert capabilities.tbf
    missing = {"veth", "bridge", "tbf", "netem", "tun", "sched_fifo"} - set(capabilities.reasons)
    assert all(getattr(capabilities, name) for name in missing)


def test_it_runs_on_uvloop():
    uvloop = pytest.importorskip("uvloop")

    async def main() -> int:
        async with Lab(two(egress=Shape(delay_s=0.001))) as lab:
            sender, receiver = await pair(lab)
            with sender, receiver:
                sender.sendto(b"x", receiver.getsockname())
                return len(await arrived(receiver, 1))

    assert uvloop.run(main()) == 1
