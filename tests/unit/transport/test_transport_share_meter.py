"""The server's measurement of shares, with literal times and byte counts."""

from __future__ import annotations

import pytest

from ecco_emu.transport.share_meter import ShareMeter


class Server:
    """Receives at given rates, step by step; ``idle`` is the part of the time a peer has nothing to send."""

    def __init__(self, **weights: float) -> None:
        self.idle: dict[str, float] = {}
        self.idle_s = dict.fromkeys(weights, 0.0)
        self.meter = ShareMeter()
        self.now = 0.0
        self.totals = dict.fromkeys(weights, 0)
        self.meter.set_weights(weights, self.totals)
        self.reports = self.meter.report(self.totals, 0.0)

    def receive(self, seconds: float, **bytes_per_s: float) -> None:
        for _ in range(round(seconds / 0.5)):
            self.now += 0.5
            for name, rate in bytes_per_s.items():
                self.totals[name] += round(rate * 0.5)
            for name, part in self.idle.items():
                self.idle_s[name] += 0.5 * part
            self.reports = self.meter.report(self.totals, self.now, self.idle_s)


def test_entitlements_are_what_all_get_split_by_weight() -> None:
    server = Server(a=5, b=3, c=2)
    assert server.reports == {}
    server.receive(20, a=40_000, b=40_000, c=20_000)
    got = {name: report.entitled_bytes_per_s for name, report in server.reports.items()}
    assert got == pytest.approx({"a": 50_000, "b": 30_000, "c": 20_000})
    assert server.reports["b"].achieved_bytes_per_s == pytest.approx(40_000)


def test_what_one_is_behind_grows_with_time_and_others_are_ahead() -> None:
    server = Server(a=1, b=1)
    server.receive(2, a=90_000, b=110_000)
    assert server.reports["a"].behind_s == pytest.approx(0.2)
    assert server.reports["b"].behind_s == pytest.approx(-0.2)
    server.receive(2, a=110_000, b=90_000)
    assert server.reports["a"].behind_s == pytest.approx(0.0, abs=1e-9)


def test_nothing_is_said_while_nothing_arrives() -> None:
    server = Server(a=1, b=1)
    server.receive(1, a=0, b=0)
    assert server.reports == {}
    assert ShareMeter().report({}, 1.0) == {}


def test_one_that_its_own_uplink_holds_back_stops_counting() -> None:
    server = Server(a=1, b=1, c=1)
    server.receive(3, a=30_000, b=80_000, c=110_000)
    assert server.meter.held_back == []
    server.receive(9, a=30_000, b=90_000, c=100_000)
    assert server.meter.held_back == ["a"]
    server.receive(10, a=30_000, b=90_000, c=100_000)
    entitled = {name: report.entitled_bytes_per_s for name, report in server.reports.items()}
    assert entitled["b"] == pytest.approx(95_000, rel=0.01)
    assert entitled["a"] == pytest.approx(60_000, rel=0.01)  # twice its own rate, to fill its uplink
    assert server.reports["a"].behind_s == 0


def test_one_that_has_nothing_to_send_does_not_contend() -> None:
    """A camera's encoder needs less than its share: the others get the rest at once."""
    server = Server(a=2, b=1, c=1)
    server.idle["a"] = 0.3
    server.receive(12, a=60_000, b=70_000, c=70_000)
    assert server.meter.held_back == []
    entitled = {name: report.entitled_bytes_per_s for name, report in server.reports.items()}
    assert entitled["b"] == entitled["c"] == pytest.approx(70_000, rel=0.02)
    assert server.reports["a"].behind_s == 0
    assert server.reports["a"].entitled_bytes_per_s == pytest.approx(140_000, rel=0.02)  # free to speed up
    server.idle["a"] = 0.1  # between the two limits: as before
    server.receive(2, a=60_000, b=70_000, c=70_000)
    assert server.reports["a"].behind_s == 0
    server.idle["a"] = 0.0
    server.receive(6, a=60_000, b=70_000, c=70_000)
    assert server.reports["a"].behind_s > 0
    assert server.reports["b"].entitled_bytes_per_s == pytest.approx(50_000, rel=0.2)


def test_one_that_is_idle_now_and_then_and_still_has_too_much_contends() -> None:
    """Otherwise the other connection would contend alone, entitled to no more than its present rate."""
    server = Server(a=1, b=1)
    server.idle["a"] = 0.3
    server.receive(4, a=180_000, b=20_000)
    assert server.reports["b"].entitled_bytes_per_s == pytest.approx(100_000, rel=0.02)
    assert server.reports["a"].behind_s < 0


def test_a_capped_camera_is_recognised_although_its_video_comes_in_bursts() -> None:
    """Idle for a fifth of the time, it has less than a third of its share: its uplink is the reason. While
    nobody else contends either, as all send in bursts, that is seen too."""
    server = Server(a=1, b=1, c=1)
    server.idle = {"a": 0.2, "b": 0.2, "c": 0.2}
    server.receive(16, a=30_000, b=100_000, c=100_000)
    assert server.meter.held_back == ["a"]
    server = Server(a=1, b=1, c=1)
    server.idle["a"] = 0.4  # but this one has little to send
    server.receive(30, a=30_000, b=100_000, c=100_000)
    assert server.meter.held_back == []


def test_evidence_against_one_outlasts_that_another_is_recognised() -> None:
    server = Server(a=1, b=1, c=1, d=1)
    server.receive(2, a=30_000, b=90_000, c=90_000, d=90_000)
    server.receive(7, a=30_000, b=30_000, c=120_000, d=120_000)
    assert server.meter.held_back == ["a"]
    server.receive(2, a=30_000, b=30_000, c=120_000, d=120_000)
    assert server.meter.held_back == ["a", "b"]


def test_idleness_before_a_peer_had_a_weight_does_not_count() -> None:
    server = Server(a=1, b=1)
    server.idle_s["a"] = 100.0
    server.receive(2, a=50_000, b=150_000)
    assert server.reports["a"].behind_s > 0


def test_one_that_is_held_down_to_nearly_nothing_is_told_a_quarter_of_its_entitlement() -> None:
    server = Server(a=1, b=1)
    server.receive(20, a=100, b=100_000)
    assert server.meter.held_back == ["a"]
    assert server.reports["a"].entitled_bytes_per_s == pytest.approx(25_000, rel=0.02)


def test_one_whose_uplink_recovers_counts_again() -> None:
    server = Server(a=1, b=1)
    server.receive(15, a=20_000, b=180_000)
    assert server.meter.held_back == ["a"]
    server.receive(15, a=100_000, b=100_000)
    assert server.meter.held_back == []
    assert server.reports["a"].entitled_bytes_per_s == pytest.approx(100_000, rel=0.05)


def test_new_weights_forget_what_was_owed_at_the_old() -> None:
    server = Server(a=1, b=1)
    server.receive(4, a=90_000, b=110_000)
    server.meter.set_weights({"a": 2, "b": 1}, server.totals)
    server.receive(0.5, a=100_000, b=100_000)
    assert server.reports["a"].behind_s == pytest.approx(1 / 8, abs=0.05)


def test_the_same_weights_again_change_nothing() -> None:
    server = Server(a=1, b=1)
    server.receive(4, a=90_000, b=110_000)
    before = server.reports["a"].behind_s
    server.meter.set_weights({"a": 1, "b": 1}, server.totals)
    server.receive(0.5, a=100_000, b=100_000)
    assert server.reports["a"].behind_s == pytest.approx(before)


def test_newcomers_are_counted_from_when_they_come_and_leavers_forgotten() -> None:
    server = Server(a=1)
    server.receive(2, a=100_000)
    server.totals["b"] = 1_000_000
    server.meter.set_weights({"a": 1, "b": 1}, server.totals)
    server.receive(0.5, a=50_000, b=50_000)
    assert server.reports["b"].achieved_bytes_per_s == pytest.approx(50_000)
    server.meter.set_weights({"b": 1}, server.totals)
    server.receive(0.5, b=100_000)
    assert set(server.reports) == {"b"}


def test_a_connection_made_anew_starts_from_nothing() -> None:
    server = Server(a=1, b=1)
    server.receive(2, a=100_000, b=100_000)
    server.totals["a"] = 0  # it has reconnected, and the new connection counts from zero
    server.receive(0.5, a=100_000, b=100_000)
    assert server.reports["a"].achieved_bytes_per_s >= 0
    server.receive(0.5, a=100_000, b=100_000)
    assert server.reports["a"].behind_s < 1


def changed_every_2_s(server: Server, seconds: float, **rates: float) -> list[bool]:
    """Weights that change with every micro-window of 2 s; whether a is known to be held back after each."""
    known = []
    for turn in range(round(seconds / 2)):
        factor = 1.1 if turn % 2 else 0.9
        server.meter.set_weights({"a": factor, "b": 1 / factor, "c": 1.0}, server.totals)
        server.receive(2, **rates)
        known.append(server.meter.held_back == ["a"])
    return known


def test_a_capped_camera_is_recognised_however_often_weights_change() -> None:
    """It was in 0 % of the time: every change cleared the evidence, which takes 6 s to gather."""
    server = Server(a=1, b=1, c=1)
    known = changed_every_2_s(server, 60, a=30_000, b=95_000, c=95_000)
    assert all(known[10:])
    entitled = {name: report.entitled_bytes_per_s for name, report in server.reports.items()}
    assert entitled["b"] + entitled["c"] == pytest.approx(190_000, rel=0.02)  # a's weight does not count


def test_one_that_follows_its_changing_weights_is_not_held_back() -> None:
    server = Server(a=1, b=1)
    for turn in range(40):
        high, low = (150_000, 50_000) if turn % 2 else (50_000, 150_000)
        server.meter.set_weights({"a": high / 1e5, "b": low / 1e5}, server.totals)
        server.receive(1, a=0.7 * high + 30_000, b=0.7 * low + 30_000)  # on its way to the new share
        server.receive(1, a=high, b=low)
        assert server.meter.held_back == []


def test_a_held_back_connection_contends_when_its_new_weight_asks_for_no_more_than_it_has() -> None:
    server = Server(a=1, b=1, c=1)
    server.receive(12, a=30_000, b=90_000, c=90_000)
    assert server.meter.held_back == ["a"]
    server.meter.set_weights({"a": 0.8, "b": 1, "c": 1}, server.totals)
    assert server.meter.held_back == ["a"]
    server.meter.set_weights({"a": 0.3, "b": 1, "c": 1}, server.totals)
    server.receive(0.5, a=30_000, b=90_000, c=90_000)
    assert server.meter.held_back == []


def test_weights_on_another_scale_leave_entitlements_as_they_were() -> None:
    server = Server(a=1, b=1)
    server.receive(4, a=90_000, b=110_000)
    server.meter.set_weights({"a": 10, "b": 10}, server.totals)
    server.receive(0.5, a=100_000, b=100_000)
    assert server.reports["a"].entitled_bytes_per_s == pytest.approx(100_000)


def test_a_weight_must_be_positive() -> None:
    with pytest.raises(ValueError, match="over 0"):
        ShareMeter().set_weights({"a": 0.0}, {"a": 0})
