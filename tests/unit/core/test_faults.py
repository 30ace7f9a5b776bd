"""Typed changes of links: who is cut off, words for people, and their way through the event log's JSON."""

from __future__ import annotations

import msgspec
import pytest

from ecco_emu.core.faults import (
    FaultPhase,
    LinkBlackhole,
    LinkChange,
    LinkCliff,
    LinkDown,
    LinkSet,
    LinkUp,
    LossBursts,
    NetworkPartition,
    action,
    cut_off,
    where,
)

CAMERAS = ["cam1", "cam2", "cam3"]
APART = NetworkPartition((("cam1", "cam3"), ("cam2", "server")))


@pytest.mark.parametrize(
    ("change", "phase", "cameras"),
    [
        (LinkDown("cam1"), "start", ["cam1"]),
        (LinkDown("cam1"), "end", []),
        (LinkUp("cam1"), "start", []),
        (LinkBlackhole("bottleneck", "up"), "start", CAMERAS),
        (APART, "start", ["cam1", "cam3"]),
        (NetworkPartition((("cam1",), ("cam2",))), "start", []),
        (LinkBlackhole("cam1", "up"), "end", []),
        (LinkSet("cam1", rate_bps=1e6), "start", []),
        (LinkCliff("cam1", 1e6), "start", []),
    ],
)
def test_who_is_cut_off(change: LinkChange, phase: FaultPhase, cameras: list[str]) -> None:
    assert cut_off(change, phase, CAMERAS) == cameras


EVERY_KIND: list[tuple[LinkChange, str, str, str]] = [
    (LinkDown("cam1"), "cam1", "down", "up"),
    (LinkUp("cam1"), "cam1", "up", "up"),
    (LinkCliff("cam1", 2e5), "cam1", "cliff rate=200kbit", "cliff over"),
    (LinkBlackhole("downlink", "down"), "downlink", "blackhole down", "blackhole over"),
    (APART, "cam1, cam3 / cam2, server", "partition", "partition over"),
]


@pytest.mark.parametrize(("change", "on", "start", "end"), EVERY_KIND)
def test_each_kind_in_words(change: LinkChange, on: str, start: str, end: str) -> None:
    assert (where(change), action(change, "start"), action(change, "end")) == (on, start, end)


def test_a_set_in_words_tells_all_that_it_changes() -> None:
    change = LinkSet("cam1", 2e6, 0.02, 0.001, burst_loss=LossBursts(0.02, 5), corrupt=0.005)
    assert action(change, "start") == ("set rate=2mbit delay=20ms jitter=1ms burst_loss=2% in 5 corrupt=0.5%")


@pytest.mark.parametrize("change", [*(row[0] for row in EVERY_KIND), LinkSet("cam1", loss=0.1)])
def test_a_change_comes_back_from_json(change: LinkChange) -> None:
    assert msgspec.json.decode(msgspec.json.encode(change), type=LinkChange) == change


def test_json_names_the_kind_and_leaves_out_what_was_not_given() -> None:
    assert msgspec.to_builtins(LinkSet("cam1", delay_s=0.02)) == {
        "kind": "set",
        "on": "cam1",
        "delay_s": 0.02,
    }
