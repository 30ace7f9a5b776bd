"""Output that cannot be written degrades; it changes no exit code and raises nothing."""

from __future__ import annotations

import codecs
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ecco_emu.cli import streams

PROGRAM = """
import sys
from ecco_emu.cli import streams
streams.harden()
for _ in range(3):
    streams.out.print("✓ 320×192 [/] 東", soft_wrap=True)
    print("plain", flush=True)
sys.exit(4)
"""


def run(redirection: str, encoding: str = "utf-8") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [
            "bash",
            "-c",
            f'"{sys.executable}" -c "$0" {redirection}; echo "code ${{PIPESTATUS[0]}}" >&2',
            PROGRAM,
        ],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        check=True,
    )


@pytest.mark.parametrize("redirection", ["> /dev/full", "| head -c 1", ">&-", "> /dev/null"])
def test_a_reader_that_is_gone_or_a_full_disk_changes_no_code(redirection: str) -> None:
    assert run(redirection).stderr == b"code 4\n"


def test_letters_that_an_encoding_lacks_are_replaced() -> None:
    done = run("", encoding="latin-1")
    assert done.stdout.splitlines()[:2] == ["+ 320×192 [/] ?".encode("latin-1"), b"plain"]
    assert done.stderr == b"code 4\n"


def test_marks_that_differ_stay_different_in_ascii() -> None:
    streams.harden()
    told = "✓✗×–…".encode("ascii", streams.PLAIN)
    assert told == b"+xx-..."
    assert "\udcff".encode("utf-8", streams.PLAIN) == b"?"
    with pytest.raises(UnicodeDecodeError):
        codecs.decode(b"\xff", "utf-8", streams.PLAIN)


def test_a_patient_file_writes_until_it_cannot(tmp_path: Path) -> None:
    with streams.PatientFile("/dev/full", "wb") as file:
        assert [file.write(b"abc"), file.write(b"abc")] == [3, 3]
    with streams.PatientFile(tmp_path / "f", "wb") as file:
        file.write(b"abc")
    assert (tmp_path / "f").read_bytes() == b"abc"
