"""Finding runs: the lock says who lives, not a process id."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ecco_emu import cli
from ecco_emu.core.errors import ScenarioError
from ecco_emu.emulation.live import runs

ANNOUNCES = """
import sys
from pathlib import Path
from ecco_emu.emulation.live import runs
with runs.announced(Path(sys.argv[1]), name="x", policy="ecco", duration_s=60):
    print("announced", flush=True)
    sys.stdin.read()
"""


def announcing(directory: Path, *prefix: str) -> subprocess.Popen[str]:
    """A process with a live run in ``directory``; it ends with its standard input."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", ANNOUNCES, directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "announced\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate()
    assert process.returncode == 0


def test_a_run_is_live_while_it_holds_its_lock_and_gone_afterwards(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    process = announcing(run)
    [found] = runs.under(tmp_path)
    assert (found.directory, found.run.pid, found.liveness) == (run, process.pid, "live")
    assert runs.clean(tmp_path, dry_run=False) == runs.Cleaned([], [])
    end(process)
    assert list(run.iterdir()) == []
    with pytest.raises(ScenarioError, match="no live run"):
        runs.find(run)


def test_a_killed_run_is_dead_and_its_leftovers_are_removed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    process = announcing(run)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (run / runs.STUDENTS).mkdir()
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / runs.FILE).write_text("{")
    with pytest.raises(ScenarioError, match="is dead"):
        runs.find(run)
    left = [run / runs.STUDENTS, run / runs.FILE]
    assert runs.clean(tmp_path, dry_run=True).removed == left
    assert all(path.exists() for path in left)
    assert runs.clean(tmp_path, dry_run=False).removed == left
    assert list(run.iterdir()) == []
    assert (tmp_path / "junk" / runs.FILE).exists()


@pytest.mark.ecco_netns
def test_a_run_in_a_container_is_seen_from_outside(tmp_path: Path) -> None:
    """There its process has another number, which is nobody's or somebody else's here."""
    run = tmp_path / "run"
    run.mkdir()
    process = announcing(run, "unshare", "-pf", "--mount-proc")
    [found] = runs.under(tmp_path)
    assert (found.run.pid, found.liveness) == (1, "live")
    assert runs.clean(tmp_path, dry_run=False).removed == []
    end(process)


def test_where_there_are_no_locks_it_is_not_known_and_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    run = tmp_path / "run"
    run.mkdir()
    with runs.announced(run, name="x", policy="ecco", duration_s=60):
        assert runs.find(run).name == "x"
        assert runs.clean(tmp_path, dry_run=False) == runs.Cleaned([], [run])
        assert (run / runs.FILE).exists()
        code, out, err = ecco_emu(monkeypatch, capsys, "clean", "--out", tmp_path)
        assert (code, out) == (0, "")
        assert f"left alone: {run}" in err
        assert "perhaps dead" in ecco_emu(monkeypatch, capsys, "ps", "--out", tmp_path)[1]


def ecco_emu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["ecco-emu", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, captured.out, captured.err


def test_ps_says_policy_progress_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def told() -> str:
        return ecco_emu(monkeypatch, capsys, "ps", "--out", tmp_path)[1]

    assert told() == f"no live runs in {tmp_path}\n"
    run = tmp_path / "run"
    run.mkdir()
    log = run / "events.jsonl"
    with runs.announced(run, name="x", policy="ecco", duration_s=60):
        assert told() == f"{run}  policy ecco  starting  0 nodes  pid {os.getpid()}\n"
        log.write_text('{"t":0.0,"kind":"a"}\n{"t":12.34,"kind":"b"}\n{"t":99,"ki')
        assert told() == f"{run}  policy ecco  12.3 of 60 s  0 nodes  pid {os.getpid()}\n"
        [row] = json.loads(ecco_emu(monkeypatch, capsys, "ps", "--out", tmp_path, "--json")[1])
        assert (row["run"], row["policy"], row["t"], row["duration_s"]) == (str(run), "ecco", 12.34, 60)
        log.write_text('{"t":60.0,"kind":"b"}\n')
        assert "measuring its students" in told()


def test_a_run_that_begins_has_no_nodes_to_enter(tmp_path: Path) -> None:
    with (
        runs.announced(tmp_path, name="x", policy="ecco", duration_s=60),
        pytest.raises(ScenarioError, match="its network is not up yet"),
    ):
        runs.execute(tmp_path, "cam1", ["true"])


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    (tmp_path / runs.FILE).write_bytes(msgspec.json.encode({"pid": "x"}))
    with pytest.raises(ScenarioError, match="cannot be read"):
        runs.find(tmp_path)
