from netns.counters import CutLedger, DirectionCounters, Frames, direction_counters
from netns.netlink import DeviceStats, QdiscStats
from netns.relay.client import LineCounters


def device(rx_packets=0, rx_bytes=0, tx_dropped=0):
    return DeviceStats(rx_packets, 0, rx_bytes, 0, 0, tx_dropped)


def test_a_direction_sums_every_place_where_packets_can_be_lost():
    qdisc = QdiscStats("tbf", bytes=0, packets=0, drops=5, backlog_bytes=300, backlog_packets=2)
    found = direction_counters(
        device(tx_dropped=2),
        device(rx_packets=100, rx_bytes=10_000),
        qdisc,
        LineCounters(lost=7, dropped=11, backlog_bytes=4000),
        drops_before=1000,
        discarded=Frames(10, 900),
    )
    assert found == DirectionCounters(bytes=9100, packets=90, drops=1035, backlog_bytes=4300)


def test_frames_at_a_cut_port_went_no_further():
    ledger = CutLedger()
    assert ledger.discarded(device(50, 5000)) == Frames()
    ledger.cut(device(50, 5000))
    assert ledger.discarded(device(60, 6000)) == Frames(10, 1000)
    ledger.join(device(65, 6500))
    assert ledger.discarded(device(1000, 100_000)) == Frames(15, 1500)
    ledger.cut(device(1000, 100_000))
    ledger.join(device(1001, 100_100))
    assert ledger.discarded(device(2000, 200_000)) == Frames(16, 1600)
