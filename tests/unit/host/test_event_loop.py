"""The signals that end a run: Ctrl-C, SIGTERM, and the end of its terminal, except with nohup."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, os, signal, sys
from ecco_emu.host.event_loop import run_until_signalled
async def main():
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    try:
        await asyncio.sleep(float(sys.argv[2]))
    finally:
        print("cleaned up")
# Set in any case, since the tests themselves may run under nohup.
signal.signal(signal.SIGHUP, signal.SIG_IGN if sys.argv[3] == "nohup" else signal.SIG_DFL)
try:
    run_until_signalled(main())
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(
    ("number", "sleeps_s", "how", "said"),
    [
        ("SIGINT", 60, "", ["cleaned up", "interrupted"]),
        ("SIGTERM", 60, "", ["cleaned up", "interrupted"]),
        ("SIGHUP", 60, "", ["cleaned up", "interrupted"]),
        ("SIGHUP", 0.05, "nohup", ["cleaned up"]),
    ],
)
def test_a_signal_cancels_and_lets_it_clean_up(number: str, sleeps_s: float, how: str, said: list[str]):
    command = [sys.executable, "-c", SCRIPT, number, str(sleeps_s), how]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout.split("\n")[:-1]) == (0, said), ran.stderr
