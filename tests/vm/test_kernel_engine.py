"""The kernel engine's conformance suite on a distribution's kernel in a virtual machine (see ``run``).

Takes about two minutes of software emulation. Behaviour only: nothing is timed there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run")


@pytest.mark.ecco_vm
@pytest.mark.timeout(660)
def test_the_kernel_engine_conforms():
    process = subprocess.Popen(
        [RUN, sys.executable],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=640)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 0, output
    assert "passed" in output, output
