"""The path MTU search distinguishes black holes from outages and congestion, and raises the size again."""

from __future__ import annotations

import socket

import pytest

from ecco_emu.transport.adapter.socket_port import forbid_fragments
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.connection import ConnectionState
from ecco_emu.transport.mtu import MIN_BYTES, PathMtu
from ecco_emu.transport.simulation.connections import Flow, SharedBottleneck
from ecco_emu.transport.stats import ConnectionStats


def path(max_bytes: int = 1200) -> PathMtu:
    return PathMtu(max_bytes, ConnectionStats())


def fallen(now: float = 10.0) -> PathMtu:
    mtu = path()
    mtu.refused(1200, now)
    return mtu


def test_large_packets_that_vanish_while_small_ones_pass_are_a_black_hole() -> None:
    mtu = path()
    mtu.on_lost(1200, 1.0, 2.0)
    assert mtu.suspicious
    mtu.on_acked(100, 1.5)
    for sent_s in (1.6, 1.7, 1.8, 1.9, 2.0):
        mtu.on_lost(1200, sent_s, 2.5)
    assert mtu.size == 1200
    mtu.on_lost(1200, 2.1, 2.5)
    assert mtu.size == MIN_BYTES


def test_what_was_sent_before_the_path_was_known_to_be_alive_does_not_count() -> None:
    """After an outage, all packets sent during it are lost, and a small probe arrives."""
    mtu = path()
    mtu.on_lost(1200, 1.0, 2.0)
    mtu.on_acked(400, 5.0)
    for sent_s in (1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 4.9):
        mtu.on_lost(1200, sent_s, 5.1)
    assert mtu.size == 1200


def test_one_large_packet_that_arrives_clears_the_path() -> None:
    mtu = path()
    mtu.on_lost(1200, 1.0, 2.0)
    mtu.on_acked(100, 1.5)
    for sent_s in (1.6, 1.7, 1.8, 1.9, 2.0):
        mtu.on_lost(1200, sent_s, 2.5)
    mtu.on_acked(1150, 2.05)
    assert not mtu.suspicious
    for sent_s in (2.1, 2.2, 2.3, 2.4, 2.5):
        mtu.on_lost(1200, sent_s, 3.0)
    assert mtu.size == 1200


def test_small_losses_say_nothing() -> None:
    mtu = path()
    for sent_s in range(20):
        mtu.on_lost(300, float(sent_s), 30.0)
    assert not mtu.suspicious


def test_sizes_are_searched_upwards_until_a_probe_is_lost_three_times() -> None:
    mtu = fallen(10.0)
    assert mtu.probe(10.0, 0.2) == 512
    mtu.on_probe_sent(7, 10.0)
    assert mtu.probe(10.1, 0.2) is None
    mtu.on_ack([(9, 12), (7, 8)])
    assert mtu.size == 512
    now, tries = 10.1, 0
    while (size := mtu.probe(now, 0.2)) is not None:
        assert size == 768
        mtu.on_probe_sent(20 + tries, now)
        mtu.on_ack([(9, 12)])
        tries += 1
        now += 0.2
    assert tries == 3
    assert mtu.size == 512
    assert mtu.probe(now + 59.0, 0.2) is None
    assert mtu.probe(now + 60.0, 0.2) == 768


def test_the_configured_size_ends_the_search() -> None:
    mtu = fallen(10.0)
    sizes = []
    for number in range(20):
        size = mtu.probe(10.0 + number, 0.2)
        if size is None:
            break
        sizes.append(size)
        mtu.on_probe_sent(number, 10.0 + number)
        mtu.on_ack([(number, number + 1)])
    assert sizes == [512, 768, 1000, 1200]
    assert not mtu.lowered


def test_a_socket_that_refuses_a_size_is_believed_at_once() -> None:
    mtu = path()
    for _ in range(10):  # a whole batch
        mtu.refused(1200, 5.0)
    assert mtu.size == MIN_BYTES
    assert mtu.probe(5.0, 0.2) == 512
    mtu.on_probe_sent(1, 5.0)
    mtu.refused(512, 5.0)
    assert mtu.probe(5.3, 0.2) is None
    assert mtu.probe(66.0, 0.2) == 512


def bottleneck(mtu_bytes: float) -> tuple[SharedBottleneck, Flow]:
    """A link that carries IP packets of ``mtu_bytes``, and a flow over it."""
    net = SharedBottleneck(rate_bps=4e6, queue_s=0.1, delay_s=0.02, seed=1)
    net.forward.mtu_bytes = mtu_bytes
    return net, net.add_flow(TransportConfig(alpha=2.0))


def goodput(net: SharedBottleneck, flow: Flow, seconds: float) -> float:
    before = flow.client.connection.stats.bytes_acked
    net.time.run_until(net.time.now + seconds)
    return (flow.client.connection.stats.bytes_acked - before) * 8 / seconds


def test_a_path_that_begins_narrow_carries_data_within_seconds() -> None:
    net, flow = bottleneck(800 + 28)
    net.keep_busy(flow)
    net.time.run_until(6.0)
    assert flow.client.connection.datagram_bytes == 768
    assert flow.client.connection.stats.mtu_reductions == 1
    assert goodput(net, flow, 10.0) > 0.8 * 4e6


def test_a_path_that_grows_narrow_is_noticed_and_one_that_grows_wide_again_too() -> None:
    net, flow = bottleneck(1500)
    net.keep_busy(flow)
    net.time.run_until(5.0)
    assert flow.client.connection.datagram_bytes == 1200
    net.forward.mtu_bytes = 600 + 28
    net.time.run_until(10.0)
    assert flow.client.connection.datagram_bytes == 512
    assert goodput(net, flow, 10.0) > 0.7 * 4e6
    net.time.run_until(30.0)
    net.forward.mtu_bytes = 1500
    net.time.run_until(100.0)
    assert flow.client.connection.datagram_bytes == 1200
    assert flow.client.connection.state is ConnectionState.OPEN


@pytest.mark.parametrize("seed", range(4))
def test_congestion_and_outages_are_not_black_holes(seed: int) -> None:
    """A queue of four packets, into which small ones fit when large ones do not, and two outages: a quarter
    of all packets is lost, and sizes stay."""
    net = SharedBottleneck(
        rate_bps=2e6, queue_s=0.02, loss=0.02, outages=[(5.0, 7.0), (12.0, 18.0)], seed=seed
    )
    flows = [net.add_flow(TransportConfig(alpha=4.0)) for _ in range(3)]
    for flow in flows:
        net.keep_busy(flow)
    net.time.run_until(25.0)
    for flow in flows:
        assert flow.client.connection.datagram_bytes == 1200
        assert flow.client.connection.stats.mtu_reductions == 0


def test_sockets_do_not_fragment() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        forbid_fragments(sock)
        assert sock.getsockopt(socket.IPPROTO_IP, 10) == 3
        sock.connect(("127.0.0.1", 9))
        with pytest.raises(OSError, match="too long"):
            sock.send(bytes(65_508))
