"""Equal scenario and seed give equal events, byte for byte: a simulated run sees nothing of the host."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import time

import pytest

from tests.sim.emulation.small import decided, finished, of_kind

_ELSEWHERE = """
import asyncio, pathlib, sys
from tests.sim.emulation.small import finished
print(*asyncio.run(finished(pathlib.Path(sys.argv[1]))), sep="\\n")
"""


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    return asyncio.run(finished(tmp_path_factory.mktemp("first")))


def test_a_run_has_a_whole_life(events):
    """So that the comparisons below compare something."""
    assert {event["camera"] for event in of_kind(events, "request_sent")} == {"cam1", "cam2"}
    assert of_kind(events, "job_joined")
    assert len(of_kind(events, "student_running")) >= 2
    assert [event["phase"] for event in of_kind(events, "fault")] == ["start", "end"] * 2
    delivered = [event for event in of_kind(events, "segment") if event["state"] == "delivered"]
    assert len(delivered) >= 10
    assert of_kind(events, "run_ended")[0]["status"] == "ok"
    assert not of_kind(events, "deadline_missed")


@pytest.mark.parametrize("seed", ["0", "4242"])
def test_another_process_with_other_hashes_decides_the_same(events, seed, tmp_path):
    found = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE, str(tmp_path)],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines() == events


async def test_four_runs_side_by_side_decide_the_same(events, tmp_path):
    runs = await asyncio.gather(*(finished(tmp_path / str(number)) for number in range(4)))
    assert all(run == events for run in runs)


def test_another_seed_decides_otherwise(events, tmp_path):
    assert asyncio.run(finished(tmp_path, "seed=6")) != events


@pytest.mark.parametrize("kind", ["stands still", "jumps", "runs backwards"])
def test_a_host_clock_that_goes_wrong_changes_nothing(events, kind, tmp_path, monkeypatch):
    moment = {
        "stands still": itertools.repeat(1000.0),
        "jumps": (1000.0 + (97.3 * number) % 1e6 for number in itertools.count()),
        "runs backwards": (1e9 - 0.01 * number for number in itertools.count()),
    }[kind]
    with monkeypatch.context() as clocks:
        # the caller's event loop holds its own reference to the clock, and goes on
        for name in ("monotonic", "time", "perf_counter", "process_time", "thread_time"):
            clocks.setattr(time, name, lambda: next(moment))
        run = asyncio.run(finished(tmp_path))
    assert run == events


def test_events_hold_no_wall_time(events, tmp_path):
    """Fields of the wall hold what was charged, which is the same for every host."""
    for event in of_kind(events, "micro_window"):
        if event["job"] is not None:
            assert 0 < event["train_wall_s"] <= 2.0
    assert not of_kind(events, "clock")


def test_what_only_the_host_knows_is_kept_apart(tmp_path):
    asyncio.run(finished(tmp_path))
    [directory] = tmp_path.iterdir()
    assert (directory / "host.jsonl").is_file()
    assert decided(directory)
