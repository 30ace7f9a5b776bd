"""Logs of the first version, whose faults were text, are still read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.events import FaultApplied
from ecco_emu.core.faults import LinkCliff, LinkDown, LinkSet, LossBursts, NetworkPartition
from ecco_emu.record import log


def old_line(on: str, action: str, phase: str = "start") -> str:
    fields = {"t": 2.0, "wall": 3.0, "kind": "fault", "index": 0, "on": on, "action": action}
    return json.dumps({**fields, "phase": phase, "requested": 2.0, "applied": 2.01}) + "\n"


@pytest.mark.parametrize(
    ("on", "action", "phase"),
    [
        ("cam2", "down", "start"),
        ("cam2", "up", "end"),
        ("cam2", "up", "start"),
        ("bottleneck", "set rate=2mbit delay=20ms loss=1% duplicate=0.5%", "start"),
        ("cam2", "set rate=2mbit burst_loss=2% in 5", "start"),
        ("cam2", "set burst_loss=2% in 5", "start"),
        ("bottleneck", "cliff rate=200kbit", "start"),
        ("bottleneck", "cliff over", "end"),
        ("cam1, cam2 / server", "partition", "start"),
        ("cam1, cam2 / server", "partition over", "end"),
        ("downlink", "blackhole down", "start"),
        ("cam2", "blackhole over", "end"),
    ],
)
def test_every_kind_of_an_older_log_is_told_as_it_was(
    tmp_path: Path, on: str, action: str, phase: str
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(old_line(on, action, phase))
    ((event, wall),) = log.read(path)
    assert isinstance(event, FaultApplied)
    assert (event.version, event.on, event.action, event.phase, wall) == (2, on, action, phase, 3.0)


def test_the_values_are_typed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = [("cam1", "set rate=2mbit burst_loss=2% in 5"), ("cam1", "cliff rate=1mbit")]
    lines += [("cam1 / server", "partition"), ("cam1", "down")]
    path.write_text("".join(old_line(*line) for line in lines))
    changes = [event.change for event, _ in log.read(path) if isinstance(event, FaultApplied)]
    assert changes == [
        LinkSet("cam1", rate_bps=2e6, burst_loss=LossBursts(0.02, 5)),
        LinkCliff("cam1", 1e6),
        NetworkPartition((("cam1",), ("server",))),
        LinkDown("cam1"),
    ]


@pytest.mark.parametrize("action", ["explode", "down burst_loss=1% in 3"])
def test_what_never_was_a_fault_is_refused_by_file_and_line(tmp_path: Path, action: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(old_line("cam1", "down") + old_line("cam1", action))
    with pytest.raises(ScenarioError, match=r"events\.jsonl:2: not an event: not a fault of version 1"):
        list(log.read(path))


def test_a_kind_of_a_later_version_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    later = {"t": 2.0, "wall": 3.0, "kind": "fault", "index": 0, "change": {"kind": "melt", "on": "cam1"}}
    path.write_text(json.dumps({**later, "phase": "start", "requested": 2.0, "applied": 2.0}) + "\n")
    assert list(log.read(path)) == []
