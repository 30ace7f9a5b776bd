"""Whole runs from the command line: a loop end to end, and what is left after every way to stop one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.ecco_netns

ROOT = Path(__file__).parents[2]
FLAP = ROOT / "scenarios" / "faults" / "uplink-flap.yaml"
DEADLINE_S = 120.0
"""For what takes seconds: a hung run fails, a slow machine does not."""


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ecco_emu", *map(str, arguments)]


def eventually(holds: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.1)


def events(runs: Path) -> list[dict[str, object]]:
    files = list(runs.glob("*/events.jsonl"))
    return [
        json.loads(line) for file in files for line in file.read_text().splitlines(True) if line[-1] == "\n"
    ]


def host_links() -> set[str]:
    return set(os.listdir("/sys/class/net"))


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def is_over(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def namespaces_of(process: psutil.Process) -> set[str]:
    """The network namespaces that a process is in or holds open, by inode."""
    folder = Path("/proc") / str(process.pid)
    found = set()
    for link in (folder / "ns" / "net", *folder.glob("fd/*")):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("net:["):
            found.add(target)
    return found


def all_namespaces() -> set[str]:
    return {namespace for process in psutil.process_iter() for namespace in namespaces_of(process)}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A run that has cameras streaming through its network."""
    runs = tmp_path / "runs"
    process = subprocess.Popen(
        command(
            "run",
            FLAP,
            "--out",
            runs,
            "--no-live",
            "--set",
            "windows.count=20",
            "--set",
            "faults=[]",
            "--set",
            "expect=[]",
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        eventually(
            lambda: (
                process.poll() is not None
                or any(event["kind"] == "segment" and event["state"] == "delivered" for event in events(runs))
            ),
            "a delivered segment",
        )
        assert process.poll() is None, process.communicate()[0]
        yield process, runs
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_sigkill_leaves_no_process_namespace_or_link(
    running: tuple[subprocess.Popen[str], Path],
) -> None:
    process, runs = running
    members = family(process)
    assert len(members) >= 4  # the run, its trainer, its cameras' inference, its world
    links_before = host_links()
    own = namespaces_of(members[0]) - namespaces_of(psutil.Process())
    assert len(own) >= 4  # the switch, the server, two cameras
    process.send_signal(signal.SIGKILL)
    process.wait(DEADLINE_S)
    eventually(lambda: all(is_over(member) for member in members), "its processes end")
    eventually(lambda: not own & all_namespaces(), "nobody holds its namespaces")
    assert host_links() == links_before
    assert events(runs)  # the log is whole up to the kill


def test_ctrl_c_ends_cleanly_with_130(running: tuple[subprocess.Popen[str], Path]) -> None:
    process, runs = running
    members = family(process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    eventually(lambda: all(is_over(member) for member in members), "its processes end")
    [directory] = runs.iterdir()
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert [reason["criterion"] for reason in summary["reasons"]] == ["stopped"]
    assert events(runs)[-1]["kind"] == "run_ended"
    assert f"run directory  {directory}" in output
    assert f"report         {directory / 'report.html'}" in output
    assert (directory / "report.html").exists()
    assert list((directory / "models").iterdir()) == []  # no retrained student was offered yet


def test_ctrl_c_while_it_starts_says_where_the_log_is(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    process = subprocess.Popen(
        command("run", FLAP, "--out", runs, "--quiet"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    eventually(lambda: bool(list(runs.glob("*/events.jsonl"))), "a run directory")
    members = family(process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, output
    [directory] = runs.iterdir()
    assert output.splitlines() == [f"run directory  {directory}", "interrupted; everything was cleaned up"]
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["reasons"][0]["text"] == "it was stopped before it began"
    eventually(lambda: all(is_over(member) for member in members), "its processes end")


def test_without_privileges_a_run_is_refused_with_the_way_out(tmp_path: Path) -> None:
    unprivileged = ["setpriv", "--bounding-set=-sys_admin,-net_admin"]
    done = subprocess.run(
        [*unprivileged, *command("run", FLAP, "--out", tmp_path / "runs")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 3
    assert "this root lacks CAP_SYS_ADMIN and CAP_NET_ADMIN" in done.stderr
    assert "sudo" not in done.stderr  # it is root already
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()
