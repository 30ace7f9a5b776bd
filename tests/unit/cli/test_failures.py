"""Every error ends in one line and the right code; a fault of ours keeps its traceback."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import netns
from ecco_emu import cli
from ecco_emu.cli import failures
from ecco_emu.core.errors import HostError, PeerError, ScenarioError

Main = Callable[..., tuple[int, str, str]]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Main:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["ecco-emu", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


def missing(number: int, name: object = None) -> OSError:
    return OSError(number, os.strerror(number), name)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ScenarioError("no such camera"), 2, "error: no such camera"),
        (HostError("no root"), 3, "error: no root"),
        (netns.LabError("the relay died"), 3, "error: the relay died"),
        (missing(errno.EACCES, "runs/a"), 2, "error: runs/a: Permission denied"),
        (missing(errno.ENAMETOOLONG, "n" * 300), 2, f"error: {'n' * 60}…{'n' * 40}: File name too long"),
        (missing(errno.ENOENT, b"a.yaml"), 2, "error: a"),
        (missing(errno.ENOSPC, "runs/a"), 3, "error: runs/a: No space left on device"),
        (missing(errno.EMFILE), 3, "error: Too many open files"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 3, "error: Broken pipe"),
        (MemoryError(), 3, "error: this host has too little memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            ExceptionGroup("tasks", [ValueError("x"), ExceptionGroup("", [HostError("no root")])]),
            3,
            "no root",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_input_and_host_are_one_line(
    error: BaseException, code: int, said: str, main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("ecco_emu.emulation.live.runs.under", fail)
    got, out, err = main("ps")
    assert (got, out) == (code, "")
    assert said in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "error",
    [ValueError("[/] x"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"), PeerError("never so far")],
    ids=lambda error: type(error).__name__,
)
def test_a_fault_of_ours_is_no_verdict_and_keeps_its_traceback(
    error: Exception, main: Main, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("ecco_emu.emulation.live.runs.under", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, _, err = main("ps")
    assert code == failures.INTERNAL == 70
    assert err.count("\n") == 1
    kept = re.search(r"its traceback is in (\S+)\)", err)
    assert kept
    assert "Traceback (most recent call last)" in Path(kept[1]).read_text()
    monkeypatch.setenv(failures.DEBUG, "1")
    assert "Traceback (most recent call last)" in main("ps")[2]


def test_names_that_cannot_be_are_bad_input(main: Main, tmp_path: Path) -> None:
    for arguments in (("check", "n" * 300), ("report", "n" * 300), ("run", "n" * 300 + ".yaml")):
        code, _, err = main(*arguments)
        assert (code, err.count("\n")) == (2, 1)
        assert "too long" in err


def test_an_option_without_its_unit_is_bad_input(main: Main) -> None:
    code, _, err = main("world", "any.yaml", "--at", "10")
    assert code == 2
    assert "has no unit" in err
